"""A tool that was killed after its note: the reconciler finds the id that the provider gave."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.forked import Child, run
from support.ledger import Ledger

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "noting.py"


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("point", "orders"), [("after_note", 1), ("after_return", 1), ("before_note", 2)])
def test_a_noted_order_is_found_again_and_one_that_was_not_noted_cannot_be(
    tmp_path: Path, mode: str, point: str, orders: int
) -> None:
    with Child(SCRIPT, str(tmp_path), mode, point) as child:
        assert child.wait() == -signal.SIGKILL
    (answer,) = run(SCRIPT, [str(tmp_path), mode])
    placed = [line.split()[1] for line in Ledger(tmp_path / "shop").lines()]
    assert len(placed) == orders
    assert answer == f"{placed[-1]} is packed"
