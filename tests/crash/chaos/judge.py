"""Judges a trial by its ledger and by what the survivor reported. Pure: facts in, violations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crash.chaos.facts import Fact, Verb
from crash.chaos.judge_effects import EffectJudge
from crash.chaos.plan import CallPlan, Door, Kind, Trial

#: what an agent is told of a call that nobody could settle, or that did not return in time
TOLD = ("nobody here can know", "did not return within")


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """What was promised and not held: lost, duplicated, asked_wrongly, wrong_answers, stuck."""

    kind: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What the last life reported. `again`: what one more life reported after the run had come to its end. `others`: those of a race.
    `elsewhere`: what the other run got that names the same effects.
    """

    status: str
    answers: Sequence[str] = ()
    others: Sequence[Sequence[str]] = ()
    again: Sequence[str] | None = None
    elsewhere: Sequence[str] = ()
    detail: str = ""


@dataclass(slots=True)
class _Place:
    """What is known of one call so far."""

    call: CallPlan
    marked: bool = False
    begins: list[Fact] = field(default_factory=list)
    effects: list[Fact] = field(default_factory=list)
    noted: bool = False
    #: the acknowledged outcome: a value, or "" for a failure
    acked: str | None = None
    harmless: bool = False
    timed_out: bool = False
    decided: str = ""
    keys: set[str] = field(default_factory=set)


#: why nobody may have lost it
_NO_FORCE = "somebody else had its batch, and nobody took it by force"


class _Judge:
    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.places: dict[tuple[int, bool], _Place] = {}
        self.found: list[Violation] = []
        self.ended: set[int] = set()
        self.taken_by = 0
        self.effects = EffectJudge(trial, self.wrong)

    def wrong(self, kind: str, what: str) -> None:
        self.found.append(Violation(kind=kind, what=what))

    def place(self, index: int, life: int) -> _Place:
        """Of a call that gave way to another, the facts of the first life are the old one's."""
        changed = self.trial.changes and index == 0 and life > 1
        call = self.trial.presented(life)[index]
        return self.places.setdefault((index, changed), _Place(call))

    # --- in the order of the facts ------------------------------------------------------------------------------------

    def hear(self, fact: Fact) -> None:
        if self.effects.hears(fact, self.ended):
            return
        match fact.verb:
            case Verb.DEATH | Verb.OVER:
                self.ended.add(fact.life)
                self._told(fact)
            case Verb.TAKEOVER:
                self.taken_by = fact.life
                self.ended.update(range(fact.life))
            case Verb.PURGED:
                pass
            case _ if not 0 <= fact.index < len(self.trial.calls):
                self.wrong("asked_wrongly", f"call {fact.key} was asked about, and no call has this key")
            case _:
                self._of_call(fact, self.place(fact.index, fact.life))

    def _of_call(self, fact: Fact, place: _Place) -> None:
        match fact.verb:
            case Verb.MARK:
                place.marked = True
            case Verb.BEGIN:
                self._begin(fact, place)
            case Verb.EFFECT:
                place.effects.append(fact)
                place.harmless = False
                if len(place.effects) > 1 and not self._may_repeat(place):
                    self.wrong("duplicated", f"call {fact.index} had its effect {len(place.effects)} times")
            case Verb.HARMLESS:
                place.harmless = True
            case Verb.NOTED:
                place.noted = True
            case Verb.ACK:
                self._ack(fact, place)
            case Verb.TIMEOUT:
                place.timed_out = True
            case Verb.ASKED:
                self._asked(fact, place)
            case Verb.DECIDED:
                place.decided = fact.word
            case Verb.FENCED:
                if fact.life >= self.taken_by and not place.timed_out:
                    self.wrong(
                        "duplicated", f"call {fact.index} of life {fact.life} was refused: {_NO_FORCE}"
                    )
            case _:
                raise AssertionError(fact)

    def _asked(self, fact: Fact, place: _Place) -> None:
        if not place.marked:
            self.wrong("asked_wrongly", f"call {fact.index} was asked about, and never began")
        elif place.acked is not None:
            self.wrong("asked_wrongly", f"call {fact.index} was asked about, and is on record")
        if place.noted and fact.word == "none":
            self.wrong("lost", f"call {fact.index} has noted its effect, and its reconciler found no note")

    def _told(self, over: Fact) -> None:
        """What a life reported as its end."""
        if over.word == "fenced" and over.life >= self.taken_by:
            self.wrong("duplicated", f"life {over.life} lost its batch: {_NO_FORCE}")
        elif over.word == "BatchBusy" and self.trial.busy_timeout > 1:
            self.wrong("stuck", f"life {over.life} waited {self.trial.busy_timeout:g} s for another one")

    def _may_repeat(self, place: _Place) -> bool:
        return self.trial.policy == "rerun" or place.call.kind is Kind.LOOK

    def _begin(self, fact: Fact, place: _Place) -> None:
        before, place.begins = place.begins, [*place.begins, fact]
        place.keys.add(fact.key)
        harmless, place.harmless = place.harmless, False
        decided, place.decided = place.decided, ""
        if (
            fact.life < self.taken_by and place.call.kind is not Kind.LOOK
        ):  # which leaves no mark that could be refused
            self.wrong("duplicated", f"call {fact.index} was begun by an owner whose batch was taken over")
        if place.acked is not None:
            self.wrong("lost", f"call {fact.index} is on record, and ran again in life {fact.life}")
        elif before and not harmless:
            self._again(fact, before[-1], place, decided)

    def _again(self, fact: Fact, before: Fact, place: _Place, decided: str) -> None:
        what = f"call {fact.index} ran again in life {fact.life}"
        # A task that timed out is cancelled, so its owner may have let the batch go; a thread runs on, and its owner keeps it.
        gave_up = place.timed_out and self.trial.mode == "async" and before.life != fact.life
        if before.life not in self.ended and not gave_up:
            self.wrong("duplicated", f"{what} beside itself")
        elif self._may_repeat(place):
            return
        elif self.trial.policy == "reconcile":
            if place.effects:
                self.wrong("duplicated", f"{what} although its reconciler knew of its effect")
        elif decided != "rerun":
            self.wrong("duplicated", f"{what}, and nobody had decided that")

    def _ack(self, fact: Fact, place: _Place) -> None:
        if fact.word == "failed":
            if place.call.kind is Kind.DECLINE or self.trial.door is Door.LLAMA:
                place.acked = ""
            return
        values = [it.word for it in place.effects if (it.attempt, it.life) == (fact.attempt, fact.life)]
        place.acked = values[-1] if values else "(a result that no effect has)"

    # --- at the end ---------------------------------------------------------------------------------------------------

    def close(self, ending: Ending) -> None:
        keys = [key for place in self.places.values() for key in place.keys]
        if len(keys) != len(set(keys)) or any(len(place.keys) > 1 for place in self.places.values()):
            self.wrong("wrong_answers", "idempotency keys are not one for each call")
        if ending.status != "done":
            self.wrong("stuck", f"{ending.status}: {ending.detail}")
            return
        calls = self.trial.presented(2)
        if len(ending.answers) != len(calls):
            self.wrong("wrong_answers", f"{len(ending.answers)} answers to {len(calls)} calls")
            return
        for index, answer in enumerate(ending.answers):
            if calls[index].kind is not Kind.KEYED:
                self._answer(index, answer)
        self.effects.keys()
        self._shared(ending)
        for other in ending.others:
            if not self._same(ending.answers, other) and not self._same(other, ending.answers):
                self.wrong(
                    "wrong_answers", f"of one race, one got {list(ending.answers)} and one {list(other)}"
                )
        if ending.again is not None and not self._same(ending.answers, ending.again):
            self.wrong(
                "lost", f"run once more it gave {list(ending.again)} instead of {list(ending.answers)}"
            )

    def _shared(self, ending: Ending) -> None:
        """All calls that name one effect must have got its result, whichever run they are of."""
        shared = [call for call in self.trial.calls if call.kind is Kind.KEYED]
        told = list(zip(shared, ending.elsewhere, strict=False))
        told += [it for it in zip(self.trial.calls, ending.answers, strict=True) if it[0].kind is Kind.KEYED]
        self.effects.answers((call.n, answer) for call, answer in told if not self._is_refused(answer))

    def _is_refused(self, answer: str) -> bool:
        """Whether the call was not run for what nobody knew of another one; that is its answer for good."""
        return self.trial.policy == "fail" and any(text in answer for text in TOLD)

    def _answer(self, index: int, answer: str) -> None:
        place = self.place(index, 2)
        known = {fact.word for fact in place.effects}
        if place.acked:
            if answer != place.acked and not self._came_late(place, answer):
                self.wrong("lost", f"call {index} is on record as {place.acked}, and the agent got {answer}")
        elif answer in known or self._is_failure(place, answer) or self._is_told(place, answer):
            return
        else:
            self.wrong("wrong_answers", f"call {index} got {answer}, its effects were {sorted(known)}")

    def _same(self, answers: Sequence[str], again: Sequence[str]) -> bool:
        if len(answers) != len(again):
            return False
        places = [self.place(index, 2) for index in range(len(answers))]
        return all(
            one == other or (other == place.acked and self._came_late(place, one))
            for place, one, other in zip(places, answers, again, strict=True)
        )

    def _came_late(self, place: _Place, answer: str) -> bool:
        """Whether the agent was told that the call did not return in time, before its result was recorded after all."""
        return place.timed_out and self._is_told(place, answer)

    def _is_failure(self, place: _Place, answer: str) -> bool:
        call = place.call
        fails = call.kind is Kind.DECLINE or (call.kind is Kind.REFUSE and self.trial.door is Door.LLAMA)
        return fails and f"{call.kind.value}:{call.n}!" in answer

    def _is_told(self, place: _Place, answer: str) -> bool:
        doubtful = place.timed_out or (self.trial.policy == "fail" and place.marked)
        return self.trial.door is Door.LLAMA and doubtful and any(text in answer for text in TOLD)


def _last_words(facts: Sequence[Fact]) -> dict[int, tuple[int]]:
    """Which life may have been dead from that fact on: it said no more. The runner notes a death later, when another may have gone on."""
    found: dict[int, tuple[int]] = {}
    for number, fact in enumerate(facts):
        if fact.verb is Verb.DEATH:
            last = max((i for i, it in enumerate(facts[:number]) if it.life == fact.life), default=number)
            found[last] = (fact.life,)
    return found


def judge(trial: Trial, facts: Sequence[Fact], ending: Ending) -> tuple[Violation, ...]:
    """Everything that the trial shows to be wrong."""
    judging = _Judge(trial)
    deaths = _last_words(facts)
    for number, fact in enumerate(facts):
        judging.hear(fact)
        judging.ended.update(deaths.get(number, ()))
    judging.close(ending)
    return tuple(judging.found)
