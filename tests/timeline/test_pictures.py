"""The picture of the README: what is drawn of the plain agent is what the bank heard of it."""

from __future__ import annotations

import importlib
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from toolslot._demo._ledger import Ledger
from toolslot._demo._story import CALLS, RequestKind
from toolslot._domain._slot import SlotState
from toolslot.testing import FakeClock

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("pictures")


def test_the_committed_picture_tells_the_story_and_runs_nothing() -> None:
    root = ET.parse(DOCS / "images" / "before-after.svg").getroot()
    texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("paid twice") == 3
    assert "every invoice paid once" in texts
    assert not {element.tag.rpartition("}")[2] for element in root.iter()} & {
        "script",
        "image",
        "foreignObject",
    }


def test_what_the_bank_had_not_answered_at_the_kill_is_unknown(pictures: ModuleType, tmp_path: Path) -> None:
    clock = FakeClock(start=100.0)
    ledger = Ledger(tmp_path / "ledger.db", clock=clock)
    call = CALLS[1]
    entered, paying = (ledger.note(call.ref, kind) for kind in (RequestKind.ENTER, RequestKind.PAY))
    clock.advance(1)
    ledger.answered(entered, 200)
    killed = clock.advance(1)
    clock.advance(1)
    ledger.answered(paying, 200)  # the bank answers, but nobody listens any more
    again = ledger.note(call.ref, RequestKind.ENTER)
    clock.advance(2)
    ledger.answered(again, 200)
    view = pictures.plain_call(1, call, ledger.copy().requests, killed)
    ledger.close()
    first, second = view.attempts
    assert (first.state, first.started_at, first.until) == (SlotState.UNKNOWN, 100.0, killed)
    assert (second.state, second.epoch, second.until) == (SlotState.SUCCEEDED, 2, 105.0)
