"""The judge of effects: what it must find in a ledger, and what it must let pass."""

from __future__ import annotations

from typing import Any

from crash.chaos.facts import SHARED, Fact, Verb
from crash.chaos.judge import Ending, judge
from crash.chaos.plan import CallPlan, Door, Kind, Trial

#: the first and the last name one effect
CALLS = tuple(CallPlan(kind=Kind.KEYED, n=n, call_id="") for n in (100, 101, 102))
ONE, OTHER = "keyed:100:v", "keyed:101:w"
DONE = (ONE, OTHER, ONE)


def fact(verb: Verb, life: int = 1, index: int = 0, key: str = "k0", word: str = "-") -> Fact:
    return Fact(verb=verb, life=life, index=index + SHARED, attempt=1, key=key, word=word)


def had(life: int = 1, index: int = 0, key: str = "k0", word: str = ONE) -> list[Fact]:
    """A claim, the code's entrance and the effect."""
    return [
        fact(Verb.MARK, life, index, key),
        fact(Verb.BEGIN, life, index, key),
        fact(Verb.EFFECT, life, index, key, word),
    ]


def acked(life: int = 1, index: int = 0) -> Fact:
    return fact(Verb.ACK, life, index, "-", "finished")


def death(life: int = 1) -> Fact:
    return Fact(verb=Verb.DEATH, life=life)


#: the effect of the second call
REST = [*had(index=1, key="k1", word=OTHER), acked(index=1)]


def kinds(facts: list[Fact], policy: str = "reconcile", **ending: Any) -> list[str]:
    trial = Trial(door=Door.PLAIN, mode="sync", policy=policy, point="after_start", seed=0)
    trial.__dict__["calls"] = CALLS
    end = Ending(**{"status": "done", "answers": DONE, **ending})
    return [violation.kind for violation in judge(trial, facts, end)]


def test_one_effect_for_several_calls_passes() -> None:
    assert kinds([*had(), acked(), *REST], again=DONE, elsewhere=DONE) == []


def test_a_call_that_is_entered_for_an_effect_on_record_is_lost() -> None:
    assert kinds([*had(), acked(), fact(Verb.BEGIN, index=2), *REST]) == ["lost"]


def test_two_calls_that_have_one_effect_under_way_are_found() -> None:
    assert kinds([fact(Verb.MARK), fact(Verb.BEGIN, index=2), *had(), acked(), *REST]) == ["duplicated"]


def test_an_effect_that_is_had_twice_is_found_unless_the_policy_is_to_run_it_again() -> None:
    facts = [*had(), death(), *had(2, 2), acked(2, 2), *REST]
    assert kinds(facts, "reconcile") == ["duplicated", "duplicated"]
    assert kinds(facts, "ask") == ["duplicated", "duplicated"]
    assert kinds(facts, "rerun") == []


def test_what_somebody_decided_to_run_again_may_run_again() -> None:
    begun = [fact(Verb.MARK), fact(Verb.BEGIN), death()]
    asked = [fact(Verb.ASKED, 2), fact(Verb.DECIDED, 2, word="rerun")]
    assert kinds([*begun, *asked, *had(2), acked(2), *REST], "ask") == []
    assert kinds([*begun, *had(2), acked(2), *REST], "ask") == ["duplicated"]


def test_a_question_about_what_nobody_has_claimed_or_is_on_record_is_wrong() -> None:
    assert kinds([fact(Verb.ASKED), *had(), acked(), *REST]) == ["asked_wrongly"]
    assert kinds([*had(), acked(), fact(Verb.ASKED), *REST]) == ["asked_wrongly"]


def test_a_refused_write_is_found_for_nobody_takes_batches_by_force() -> None:
    assert kinds([*had(), acked(), fact(Verb.FENCED, index=2), *REST]) == ["duplicated"]


def test_a_recorded_result_that_no_effect_has_is_found() -> None:
    assert kinds([*had(), acked(), acked(index=2), *REST]) == ["lost"]


def test_every_effect_has_one_idempotency_key() -> None:
    assert "wrong_answers" in kinds([*had(), death(), *had(2, 2, "k2"), acked(2, 2), *REST], "rerun")
    assert "wrong_answers" in kinds([*had(), *had(index=1, word=OTHER), acked(), acked(index=1)], "rerun")


def test_calls_of_one_effect_get_its_result() -> None:
    facts = [*had(), acked(), *REST]
    assert kinds(facts, answers=(ONE, OTHER, OTHER)) == ["wrong_answers", "wrong_answers"]
    assert kinds(facts, elsewhere=("keyed:100:x", OTHER, ONE)) == ["wrong_answers", "wrong_answers"]


def test_a_result_that_is_not_the_one_on_record_is_found() -> None:
    again = "keyed:102:z"
    facts = [*had(), death(), *had(2, 2, word=again), acked(2, 2), *REST]
    assert kinds(facts, "rerun", answers=(again, OTHER, again)) == []
    assert kinds(facts, "rerun", answers=(ONE, OTHER, ONE)) == ["lost"]


def test_who_was_refused_for_what_nobody_knew_of_another_call_has_that_for_an_answer() -> None:
    refused = "nobody here can know whether call 0 was done"
    facts = [*had(), acked(), *REST]
    assert kinds(facts, "fail", answers=(ONE, OTHER, refused)) == []
    assert kinds(facts, "ask", answers=(ONE, OTHER, refused)) != []
