"""Judges what the calls did that name an effect: one effect for each key, whichever call of whichever run had it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from crash.chaos.facts import SHARED, Fact, Verb
from crash.chaos.plan import Kind, Trial, group_of


@dataclass(slots=True)
class _Effect:
    """What is known of the effect of one idempotency key so far."""

    marked: bool = False
    begins: list[Fact] = field(default_factory=list)
    had: list[Fact] = field(default_factory=list)
    #: the acknowledged result
    acked: str | None = None
    decided: str = ""


class EffectJudge:
    """`wrong` is told what was promised and not held."""

    def __init__(self, trial: Trial, wrong: Callable[[str, str], None]) -> None:
        self._trial, self._wrong = trial, wrong
        self._effects: defaultdict[str, _Effect] = defaultdict(_Effect)

    def hears(self, fact: Fact, ended: Collection[int]) -> bool:
        """Whether the fact is of a call that names an effect. `ended`: the lives that are over."""
        if fact.index < SHARED:
            return False
        match fact.verb:
            case Verb.ACK:
                self._ack(fact)
            case Verb.FENCED:
                self._wrong(
                    "duplicated",
                    f"a call of life {fact.life} was refused, and nobody took its batch by force",
                )
            case _:
                self._of_key(fact, self._effects[fact.key], ended)
        return True

    def _of_key(self, fact: Fact, effect: _Effect, ended: Collection[int]) -> None:
        match fact.verb:
            case Verb.MARK:
                effect.marked = True
            case Verb.BEGIN:
                self._begin(fact, effect, ended)
            case Verb.EFFECT:
                effect.had.append(fact)
                if len(effect.had) > 1 and self._trial.policy != "rerun":
                    self._wrong("duplicated", f"effect {fact.key} was had {len(effect.had)} times")
            case Verb.ASKED:
                if not effect.marked:
                    self._wrong(
                        "asked_wrongly", f"effect {fact.key} was asked about, and nobody has claimed it"
                    )
                elif effect.acked is not None:
                    self._wrong(
                        "asked_wrongly", f"effect {fact.key} was asked about, and is on record as done"
                    )
            case Verb.DECIDED:
                effect.decided = fact.word
            case _:
                raise AssertionError(fact)

    def _begin(self, fact: Fact, effect: _Effect, ended: Collection[int]) -> None:
        before, effect.begins = effect.begins, [*effect.begins, fact]
        decided, effect.decided = effect.decided, ""
        what = f"life {fact.life} entered a call for effect {fact.key}"
        if effect.acked is not None:
            self._wrong("lost", f"{what}, which is on record as done")
        elif before and before[-1].life not in ended:
            self._wrong("duplicated", f"{what}, which another call has under way")
        elif not before or self._trial.policy == "rerun":
            return
        elif self._trial.policy == "reconcile":
            if effect.had:
                self._wrong("duplicated", f"{what}, of which its reconciler knew")
        elif decided != "rerun":
            self._wrong("duplicated", f"{what} again, and nobody had decided that")

    def _ack(self, fact: Fact) -> None:
        where = (fact.index, fact.attempt, fact.life)
        for effect in self._effects.values():
            for had in effect.had:
                if (had.index, had.attempt, had.life) == where:
                    effect.acked = had.word
                    return
        if fact.word != "failed":
            self._wrong("lost", f"life {fact.life} has recorded a result that no effect has")

    # --- at the end ---------------------------------------------------------------------------------------------------

    def keys(self) -> None:
        """Every call of an effect must have seen one idempotency key, and no other effect the same."""
        groups = defaultdict[str, set[str]](set)
        for key, effect in self._effects.items():
            for had in effect.had:
                groups[_group_in(had.word)].add(key)
        keys = [key for each in groups.values() for key in each]
        if len(keys) != len(groups) or len(set(keys)) != len(keys):
            self._wrong("wrong_answers", "idempotency keys are not one for each effect")

    def answers(self, answers: Iterable[tuple[int, str]]) -> None:
        """What calls of one run or several got, each with its argument: all of one effect the same, and that one its result."""
        got = defaultdict[str, set[str]](set)
        for n, answer in answers:
            got[group_of(n)].add(answer)
        for group, found in got.items():
            had = {fact.word: effect for effect in self._effects.values() for fact in effect.had}
            if len(found) > 1:
                self._wrong("wrong_answers", f"calls of one effect got {sorted(found)}")
            for answer in found:
                effect = had.get(answer)
                if effect is None or _group_in(answer) != group:
                    self._wrong("wrong_answers", f"a call got {answer}, which is no result of its effect")
                elif effect.acked not in (None, answer):
                    self._wrong("lost", f"effect is on record as {effect.acked}, and a call got {answer}")


def _group_in(word: str) -> str:
    kind, n, _ = word.split(":")
    assert kind == Kind.KEYED.value, word
    return group_of(int(n))
