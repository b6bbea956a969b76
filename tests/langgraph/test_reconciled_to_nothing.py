"""A failed attempt of this very execution that a reconciler says was done, with nothing as its result."""

from __future__ import annotations

from typing import Any

import pytest

from support.sending import FORMS, GO, Work, answers, calls
from toolslot import Done, Retry, ToolPolicy

pytestmark = pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited")


@pytest.mark.parametrize("name", sorted(FORMS))
def test_the_agent_gets_a_message_and_not_the_bare_value(talk: Any, name: str) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b")
    policy = ToolPolicy(retry=Retry(stop=3), reconcile=lambda slot: Done(None))
    outcome = talk.run(FORMS[name](talk, [work.tool], policies={"work": policy}), GO)
    assert [call_id for call_id, _ in answers(outcome)] == ["a", "b"]
    assert sorted(work.ran) == [0, 1]
