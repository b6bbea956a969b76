"""The judge: what it must find in a ledger, and what it must let pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crash.chaos.facts import Fact, Verb, parse
from crash.chaos.judge import Ending, judge
from crash.chaos.plan import CallPlan, Door, Kind, Trial

CALLS = (
    CallPlan(kind=Kind.PAY, n=100, call_id="a"),
    CallPlan(kind=Kind.LOOK, n=101, call_id="b"),
    CallPlan(kind=Kind.DECLINE, n=102, call_id="c"),
)
DONE = ("pay:100:v", "look:101:v", "decline:102!")


def trial(policy: str = "rerun", door: Door = Door.PLAIN, mode: str = "sync") -> Trial:
    made = Trial(door=door, mode=mode, policy=policy, point="after_start", seed=0)
    made.__dict__["calls"] = CALLS  # what would be made of the seed
    return made


def fact(verb: Verb, life: int = 1, index: int = 0, **fields: Any) -> Fact:
    return Fact(verb=verb, life=life, index=index, **{"attempt": life, "key": f"k{index}", **fields})


def ran(life: int = 1, index: int = 0, word: str = "pay:100:v") -> list[Fact]:
    """A start mark, the code's entrance and its effect."""
    return [
        fact(Verb.MARK, life, index),
        fact(Verb.BEGIN, life, index),
        fact(Verb.EFFECT, life, index, word=word),
    ]


def acked(life: int = 1, index: int = 0, word: str = "finished") -> Fact:
    return fact(Verb.ACK, life, index, word=word)


#: what the other calls leave, by the life that runs them
REST_OF = {
    life: [*ran(life, 1, "look:101:v"), acked(life, 1), fact(Verb.BEGIN, life, 2), acked(life, 2, "failed")]
    for life in (1, 2)
}
REST = REST_OF[1]


def kinds(
    facts: list[Fact], *, policy: str = "rerun", door: Door = Door.PLAIN, mode: str = "sync", **ending: Any
) -> list[str]:
    end = replace(Ending(status="done", answers=DONE), **ending)
    return [violation.kind for violation in judge(trial(policy, door, mode), facts, end)]


def test_a_run_without_a_death_passes() -> None:
    assert kinds([*ran(), acked(), *REST], again=DONE) == []


def test_facts_are_read_as_they_were_written() -> None:
    facts = (*ran(), acked(), fact(Verb.DEATH, index=-1, key="-"))
    assert parse(" ".join(each.words()) for each in facts) == facts


# --- lost -----------------------------------------------------------------------------------------------------------------


def test_a_call_that_is_on_record_and_runs_again_is_lost() -> None:
    facts = [*ran(), acked(), *REST, fact(Verb.DEATH), fact(Verb.BEGIN, 2)]
    assert kinds(facts) == ["lost"]


def test_a_recorded_result_that_is_replayed_differently_is_lost() -> None:
    facts = [*ran(), acked(), *ran(2, 0, "pay:100:other"), *REST]
    assert "lost" in kinds(facts, answers=("pay:100:other", *DONE[1:]))


def test_a_recorded_failure_that_runs_again_is_lost() -> None:
    assert kinds([*ran(), acked(), *REST, fact(Verb.DEATH), fact(Verb.BEGIN, 2, 2)]) == ["lost"]


def test_a_finished_run_that_says_something_else_the_next_time_has_lost_something() -> None:
    assert kinds([*ran(), acked(), *REST], again=("pay:100:w", *DONE[1:])) == ["lost"]


# --- duplicated -----------------------------------------------------------------------------------------------------------

TWICE = [*ran(), fact(Verb.DEATH), *ran(2), acked(2), *REST]


def test_with_rerun_a_call_in_flight_may_have_its_effect_again_after_a_death() -> None:
    assert kinds(TWICE) == []


@pytest.mark.parametrize("policy", ["reconcile", "fail", "ask"])
def test_with_any_other_policy_it_may_not(policy: str) -> None:
    assert set(kinds(TWICE, policy=policy)) == {"duplicated"}


def test_without_a_death_it_may_not_even_with_rerun() -> None:
    assert kinds([*ran(), *ran(1), acked(), *REST]) == ["duplicated"]


def test_an_idempotent_call_may_repeat_under_every_policy() -> None:
    again = [fact(Verb.BEGIN, 1, 1), fact(Verb.DEATH), fact(Verb.BEGIN, 2, 1), *ran(2, 1, "look:101:v")[2:]]
    assert kinds([*ran(), acked(), *again, *REST[4:]], policy="fail") == []


def test_a_call_that_had_no_effect_may_run_again_when_its_reconciler_was_asked() -> None:
    begun = [fact(Verb.MARK), fact(Verb.BEGIN), fact(Verb.DEATH), fact(Verb.ASKED, 2)]
    assert kinds([*begun, *ran(2), acked(2), *REST], policy="reconcile") == []


@pytest.mark.parametrize("policy", ["fail", "ask"])
def test_with_fail_and_ask_it_may_run_again_only_when_somebody_decided_that(policy: str) -> None:
    begun = [fact(Verb.MARK), fact(Verb.BEGIN), fact(Verb.DEATH), fact(Verb.ASKED, 2)]
    decided = fact(Verb.DECIDED, 2, word="rerun")
    rest = [*ran(2), acked(2), *REST]
    assert kinds([*begun, decided, *rest], policy=policy) == []
    assert kinds([*begun, *rest], policy=policy) == ["duplicated"]


def test_a_call_that_failed_without_an_effect_may_run_again_in_the_same_life() -> None:
    assert kinds([fact(Verb.BEGIN), fact(Verb.HARMLESS), *ran(), acked(), *REST], policy="fail") == []


def test_that_it_asked_a_person_excuses_nothing_after_its_effect() -> None:
    facts = [fact(Verb.BEGIN), fact(Verb.HARMLESS), *ran()[2:], fact(Verb.DEATH), *ran(2), acked(2), *REST]
    assert "duplicated" in kinds(facts, policy="fail")


def test_an_owner_that_was_taken_over_begins_nothing() -> None:
    facts = [fact(Verb.TAKEOVER, 2, -1), *ran(1), acked(1), *REST]
    assert kinds(facts)[0] == "duplicated"


# --- races: a death is noted when the runner learns of it, and others live at the same time --------------------------------


def test_who_had_said_its_last_word_may_have_been_dead_when_another_went_on() -> None:
    assert kinds([*ran(), *ran(2), acked(2), *REST_OF[2], fact(Verb.DEATH, 1)]) == []


def test_a_call_that_ran_in_two_processes_while_both_lived_is_duplicated() -> None:
    both_end = [fact(Verb.OVER, 1), fact(Verb.OVER, 2)]
    assert kinds([*ran(), *ran(2), acked(2), *REST_OF[2], *both_end]) == ["duplicated"]


def test_who_still_said_something_was_not_dead() -> None:
    facts = [*ran()[:2], *ran(2), ran()[2], acked(2), *REST_OF[2], fact(Verb.DEATH, 1)]
    assert "duplicated" in kinds(facts)


def test_a_task_that_timed_out_is_cancelled_and_may_run_elsewhere_a_thread_goes_on() -> None:
    facts = [*ran()[:2], fact(Verb.TIMEOUT), *ran(2), acked(2), *REST_OF[2], fact(Verb.OVER, 1)]
    assert kinds(facts, mode="async") == []
    assert kinds(facts, mode="sync") == ["duplicated"]


def test_nobody_loses_its_batch_to_another_that_did_not_take_it_by_force() -> None:
    passed = [*ran(), acked(), *REST]
    assert kinds([fact(Verb.FENCED), *passed]) == ["duplicated"]
    assert kinds([*passed, fact(Verb.OVER, 1, word="fenced")]) == ["duplicated"]
    assert kinds([fact(Verb.TAKEOVER, 2, -1), fact(Verb.FENCED, 1), *ran(2), acked(2), *REST_OF[2]]) == []


def test_a_process_that_waited_long_for_another_one_was_stuck() -> None:
    assert kinds([*ran(), acked(), *REST, fact(Verb.OVER, 1, word="BatchBusy")]) == ["stuck"]


def test_all_of_a_race_are_told_the_same() -> None:
    facts = [*ran(), acked(), *REST]
    assert kinds(facts, others=[DONE, DONE]) == []
    assert kinds(facts, others=[DONE, (*DONE[:2], "decline:103!")]) == ["wrong_answers"]


# --- asked wrongly, wrong answers, stuck ----------------------------------------------------------------------------------


def test_nobody_is_asked_about_a_call_that_never_began() -> None:
    assert kinds([fact(Verb.ASKED, 2), *ran(2), acked(2), *REST]) == ["asked_wrongly"]


def test_nobody_is_asked_about_a_call_that_is_on_record() -> None:
    assert kinds([*ran(), acked(), fact(Verb.ASKED, 2), *REST]) == ["asked_wrongly"]


def test_nobody_is_asked_about_a_call_that_does_not_exist() -> None:
    assert kinds([*ran(), acked(), *REST, fact(Verb.ASKED, 2, -1)]) == ["asked_wrongly"]


def test_a_start_mark_without_an_entrance_may_be_asked_about() -> None:
    facts = [fact(Verb.MARK), fact(Verb.DEATH), fact(Verb.ASKED, 2), *ran(2), acked(2), *REST]
    assert kinds(facts) == []


def test_answers_must_stand_in_the_order_of_the_calls() -> None:
    facts = [*ran(), *REST[:3], *REST[4:]]
    assert kinds(facts, answers=(DONE[1], DONE[0], DONE[2])) == ["wrong_answers", "wrong_answers"]


def test_every_call_must_have_an_answer() -> None:
    assert kinds([*ran(), acked(), *REST], answers=DONE[:2]) == ["wrong_answers"]


def test_the_key_of_one_call_must_not_be_anothers() -> None:
    facts = [*ran(), acked(), fact(Verb.MARK, 1, 1), fact(Verb.BEGIN, 1, 1, key="k0"), *REST[2:]]
    assert kinds(facts) == ["wrong_answers"]


def test_what_an_agent_is_told_of_an_open_call_is_an_answer_only_where_the_policy_says_fail() -> None:
    told = ("... nobody here can know whether ...", *DONE[1:])
    facts = [fact(Verb.MARK), fact(Verb.BEGIN), fact(Verb.DEATH), *REST]
    assert kinds(facts, policy="fail", door=Door.LLAMA, answers=told) == []
    assert kinds(facts, policy="reconcile", door=Door.LLAMA, answers=told) == ["wrong_answers"]


def test_of_a_call_that_timed_out_the_agent_may_have_been_told_so_before_its_late_result_was_recorded() -> (
    None
):
    told = ("... did not return within 0.15 s ...", *DONE[1:])
    late = [*ran()[:2], fact(Verb.TIMEOUT), *ran()[2:], acked()]
    assert kinds([*late, *REST], door=Door.LLAMA, answers=told, again=DONE) == []
    assert kinds([*ran(), acked(), *REST], door=Door.LLAMA, answers=told, again=DONE) == ["lost", "lost"]


def test_a_run_that_does_not_come_to_its_end_is_stuck() -> None:
    assert kinds([*ran()], status="BatchBusy") == ["stuck"]
