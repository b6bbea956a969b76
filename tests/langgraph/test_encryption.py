"""An encrypted journal under a graph: nothing of arguments and answers is in its files, and a replay hands them out all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from support.leaks import leaks
from toolslot import DiskJournal, Encryption

pytestmark = pytest.mark.any_release  # of the journal's files

KEY = b"k" * 32
CANARY = "CANARY-52c1d"


def test_no_argument_answer_or_artifact_is_in_any_file(talk: Any, tmp_path: Path) -> None:
    argument, answer, artifact, failure = secrets = [
        f"{CANARY}-{what}" for what in ("arg", "answer", "artifact", "error")
    ]
    ran: list[str] = []

    def pay(note: str) -> ToolMessage:
        """Pays."""
        ran.append(note)
        return ToolMessage(answer, artifact={"a": artifact * 100_000}, tool_call_id="c0", name="pay")

    def fail(note: str) -> str:
        """Fails."""
        ran.append(note)
        raise ValueError(failure)

    talk.calls = [
        {"name": name, "args": {"note": argument}, "id": f"c{i}"} for i, name in enumerate(("pay", "fail"))
    ]
    root = tmp_path / "journal"
    for _ in range(2):
        talk.saver = type(talk.saver)()
        with DiskJournal.open(root, encryption=Encryption([KEY])) as journal:
            with pytest.raises(Exception, match=failure):
                talk.start(talk.graph([pay, fail], journal=journal))
            assert leaks(root, *secrets) == []
        assert leaks(root, *secrets) == []
    assert ran.count(argument) >= 2
