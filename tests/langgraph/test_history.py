"""Whether a thread went on from the answers of a batch, told from its checkpoints; and what that means for agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from support.sending import FORMS, GO, Work, answers, calls
from toolslot_langgraph._history import Saved, went_on


def line(text: str) -> list[Saved]:
    """Checkpoints as `id<parent source`, the oldest first; given to the test the newest first, as savers list them."""
    found: list[Saved] = []
    for item in text.split(", "):
        ids, _, source = item.partition(" ")
        name, _, parent = ids.partition("<")
        found.append(Saved(id=name, parent=parent or None, source=source or "loop"))
    return found[::-1]


#: the batch ran at c3; now its response is run at `now`, which c9 stands for
HISTORIES: dict[str, tuple[str, bool, bool]] = {
    # history, whether a checkpoint was named, whether the thread went on
    "the step was saved, and it is gone back to": ("c1 input, c3<c1, c4<c3, c9<c3 fork", True, True),
    "the same, the fork not saved yet": ("c1 input, c3<c1, c4<c3", True, True),
    "the step was not saved": ("c1 input, c3<c1, c9<c3 fork", True, False),
    "nor when it was tried before": ("c1 input, c3<c1, c5<c3 fork, c9<c3 fork", True, False),
    "it was saved when it was tried again": ("c1 input, c3<c1, c5<c3 fork, c6<c5, c9<c3 fork", True, True),
    "the state was edited after it was saved": ("c1 input, c3<c1, c4<c3, c9<c3 update", False, True),
    "the state was edited before it was saved": ("c1 input, c3<c1, c9<c3 update", False, False),
    "a person spoke instead": ("c1 input, c3<c1, c4<c3 input, c9<c3 fork", True, True),
    "not even its own checkpoint was saved": ("c1 input, c2<c1", False, False),
    "the same, the new one is saved": ("c1 input, c2<c1, c9<c2", False, False),
    "the same, with another step made anew": ("c1 input, c2<c1, c5<c2, c9<c5", False, False),
    "that is gone back to later": ("c1 input, c2<c1, c5<c2, c6<c5, c9<c5 fork", True, True),
    "its checkpoint was pruned": ("c1 input, c4<c3, c9<c4 update", False, True),
    "only the newest is kept": ("c8<c7 update", False, True),
    "the thread was deleted and begun again": ("c5 input, c6<c5, c9<c6", False, True),
    "nothing is kept": ("c9 input", False, True),
}


@pytest.mark.parametrize(("history", "named", "expected"), HISTORIES.values(), ids=HISTORIES.keys())
def test_whether_a_thread_went_on_from_a_batch(history: str, named: bool, expected: bool) -> None:
    assert went_on(line(history), "c3", now="c9", named=named) is expected


class Forgetful(InMemorySaver):
    """A saver that cannot be reached when the last message of a checkpoint is of this kind."""

    refuses: type[Any] | None = None

    def put(self, config: Any, checkpoint: Any, *args: Any, **kwargs: Any) -> Any:
        messages: Sequence[Any] = checkpoint["channel_values"].get("messages") or [None]
        if self.refuses is not None and isinstance(messages[-1], self.refuses):
            raise ConnectionError("the saver is away")
        return super().put(config, checkpoint, *args, **kwargs)

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        return self.put(*args, **kwargs)


@pytest.fixture(params=sorted(FORMS))
def door(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


def unsaved(talk: Any, door: Any, **settings: Any) -> tuple[Work, Any]:
    """An agent whose three calls are done and handed over, and whose thread knows nothing of that."""
    work = Work(talk)
    talk.calls = calls("a", "b", "c")
    talk.saver = Forgetful()
    agent = door(talk, [work.tool], **settings)
    talk.saver.refuses = ToolMessage
    with pytest.raises(ConnectionError, match="the saver is away"):
        talk.run(agent, GO)
    talk.saver.refuses = None
    assert sorted(work.ran) == [0, 1, 2]
    work.ran.clear()
    return work, agent


@pytest.mark.parametrize(
    ("on_fork", "again"), [("adopt_unfinished", []), ("rerun", [0, 1, 2]), ("replay", [])]
)
def test_a_resume_by_name_of_a_step_that_was_not_saved_repeats_nothing(
    talk: Any, door: Any, on_fork: str, again: list[int]
) -> None:
    work, agent = unsaved(talk, door, on_fork=on_fork)
    assert len(answers(talk.run(agent, None, **agent.get_state(talk.config).config))) == 3
    assert sorted(work.ran) == again


@pytest.mark.parametrize("name", ["make_durable", "middleware", "one_node"])
def test_an_edit_of_the_state_after_a_step_that_was_not_saved_repeats_nothing(talk: Any, name: str) -> None:
    work, agent = unsaved(talk, FORMS[name])
    agent.update_state(talk.config, {"messages": []}, as_node="model")
    assert len(answers(talk.run(agent, None))) == 3
    assert work.ran == []


def test_once_it_is_saved_the_same_is_time_travel(talk: Any, door: Any) -> None:
    work, agent = unsaved(talk, door)
    config = agent.get_state(talk.config).config
    talk.run(agent, None, **config)
    assert work.ran == []
    talk.run(agent, None, **config)
    assert sorted(work.ran) == [0, 1, 2]


def test_a_saver_that_cannot_list_its_checkpoints_is_believed_to_have_kept_them(
    talk: Any, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, agent = unsaved(talk, door)
    config = agent.get_state(talk.config).config

    def unable(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(talk.saver, "list", unable)
    monkeypatch.setattr(talk.saver, "alist", unable)
    talk.run(agent, None, **config)
    assert sorted(work.ran) == [0, 1, 2]
