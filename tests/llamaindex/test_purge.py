"""A purge of a run that is under way, and of one that is over."""

from __future__ import annotations

import time
from typing import Any

import pytest

from toolslot import RunPurged
from toolslot.journal import purge_older, purge_run


def daily(journal: Any) -> None:
    """As the guide has it, a month later."""
    purge_older(journal, 86400.0, clock=lambda: time.time() + 30 * 86400)


def note(talk: Any) -> Any:
    def pay(i: int) -> str:
        """Pays."""
        talk.effects.append(f"pay {i}")
        return f"paid {i}"

    return pay


def test_a_run_goes_on_when_its_earlier_turns_are_purged_and_is_refused_when_it_is_resumed(talk: Any) -> None:
    journal = talk.world.executor().journal

    def tidy() -> str:
        """Purges what is over, as a job beside the agent does while it waits for its model."""
        daily(journal)
        return "tidy"

    talk.script([("pay", {"i": 0})], [("tidy", {})], [("pay", {"i": 1})], "done")
    tools = [note(talk), tidy]
    assert str(talk.run(talk.agent(tools))) == "done"
    assert talk.effects == ["pay 0", "pay 1"]
    daily(journal)
    with pytest.raises(RunPurged):
        talk.run(talk.agent(tools))
    assert talk.effects == ["pay 0", "pay 1"]


def test_a_run_that_was_purged_is_refused_and_another_run_id_is_taken(talk: Any) -> None:
    talk.script([("pay", {"i": 0})], "done")
    talk.run(talk.agent([note(talk)]))
    purge_run(talk.world.executor().journal, talk.run_id, why="asked to")
    with pytest.raises(RunPurged):
        talk.run(talk.agent([note(talk)]))
    assert talk.effects == ["pay 0"]
    talk.script([("pay", {"i": 1})], "done")
    talk.run(talk.agent([note(talk)]), run_id="r-2")
    assert talk.effects == ["pay 0", "pay 1"]
