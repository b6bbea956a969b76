"""An agent whose memory is a chat in a database, killed at a question: the chat is in the end as a plain agent leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.forked import Child, run

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "chat.py"


def begun(folder: Path) -> Path:
    folder.mkdir()
    run(SCRIPT, [str(folder), "--begin"])
    return folder


@pytest.mark.parametrize("questions", [(1,), (2,), (1, 1, 2)], ids=str)
def test_killed_at_a_question_the_chat_and_its_archive_are_as_if_nothing_had_happened(
    tmp_path: Path, questions: tuple[int, ...]
) -> None:
    expected: Any = run(SCRIPT, [str(begun(tmp_path / "plain")), "--plain"])
    assert expected["archived"], "the memory is full enough"
    folder = begun(tmp_path / "killed")
    for question in questions:
        with Child(SCRIPT, str(folder), "--at", str(question)) as child:
            child.await_line("THERE")
            child.kill()
    for _ in range(2):
        assert run(SCRIPT, [str(folder)]) == expected
