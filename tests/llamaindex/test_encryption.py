"""An encrypted journal under an agent: its turns and memory are hidden too, and a run goes on from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from support.leaks import leaks
from toolslot import DiskJournal, Encryption, JournalKeyMissing

pytestmark = pytest.mark.any_release  # of the journal's files

KEY = b"k" * 32
CANARY = "CANARY-91b0e"


def test_no_question_memory_argument_or_answer_is_in_any_file_and_the_run_is_replayed(
    talk: Any, tmp_path: Path
) -> None:
    question, memory, argument, answer, last = secrets = [
        f"{CANARY}-{what}" for what in ("question", "memory", "arg", "answer", "last")
    ]
    ran: list[str] = []

    def pay(note: str) -> str:
        """Pays."""
        ran.append(note)
        return answer

    root = tmp_path / "journal"
    talk.script([("pay", {"note": argument}), ("pay", {"note": argument * 100_000})], last)
    history = [ChatMessage(role="user", content=memory)]

    def run() -> str:
        with DiskJournal.open(root, encryption=Encryption([KEY])) as journal:
            found = talk.run(talk.agent([pay], journal=journal), user_msg=question, chat_history=history)
            assert leaks(root, *secrets) == []
        return str(found)

    assert run() == last
    assert leaks(root, *secrets) == []
    asked = talk.llm.asked
    assert run() == last  # from the record alone
    assert (talk.llm.asked, len(ran)) == (asked, 2)
    with pytest.raises(JournalKeyMissing):
        DiskJournal.open(root)
