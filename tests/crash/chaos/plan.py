"""What a trial does, made from a seed: which calls, where the process dies, and where its successors die.

Pure: the same `Trial` always gives the same plan, in the runner and in every process that it starts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

from toolslot.testing import CrashPoint as P

MODES = ("sync", "async")
POLICIES = ("rerun", "reconcile", "fail", "ask")

#: a kill from outside, at a moment that no point names
ANYWHERE = "anywhere"
#: no kill: the owner is stopped, its batch taken over by force, and it goes on
STOPPED = "stopped"


class Door(str, Enum):
    """Who runs the calls."""

    PLAIN = "plain"
    NODE = "node"
    AGENT = "agent"
    LLAMA = "llama"


class Kind(str, Enum):
    """What a call does. The value is the tool's name."""

    PAY = "pay"
    #: some milliseconds pass before and after its effect
    SLOW = "slow"
    #: fails in a way that is its answer
    DECLINE = "decline"
    #: its first entrance raises what certainly did nothing
    REFUSE = "refuse"
    #: its result takes several chunk rows
    LARGE = "large"
    #: idempotent
    LOOK = "look"
    #: notes its effect at once
    NOTE = "note"
    #: names its effect, which other calls of this run and of another one name, too
    KEYED = "keyed"
    #: asks a person before its effect
    PERSON = "person"
    #: its first entrance outlasts the timeout, and then has its effect after all
    HANG = "hang"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallPlan:
    """One call of the batch. `n` is its argument."""

    kind: Kind
    n: int
    call_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """Die when `point` is reached for the `nth` time; of `ANYWHERE`, so many milliseconds after the start."""

    point: str
    nth: int

    @property
    def armed(self) -> str:
        """For `toolslot.testing`; empty when the kill comes from outside."""
        return "" if self.point == ANYWHERE else f"{self.point}:{self.nth}"


#: reached once for each call, or more often
OFTEN = (
    P.BEFORE_START, P.AFTER_START, P.AFTER_RETURN, P.BEFORE_FINISH, P.AFTER_FINISH, P.BEFORE_DELIVERY, P.BEFORE_REPLAY,
    P.AFTER_REPLAY, P.AFTER_BEGIN, P.BEFORE_COMMIT, P.AFTER_COMMIT,
)  # fmt: skip
#: after these a call is in flight, so that there is something to recover
IN_FLIGHT = (P.AFTER_START, P.AFTER_RETURN, P.BEFORE_FINISH)
#: where a recovery dies
RECOVERY = (
    P.BEFORE_TAKEOVER, P.AFTER_TAKEOVER, P.BEFORE_RECONCILE, P.AFTER_RECONCILE, P.BEFORE_DECIDE, P.AFTER_DECIDE,
    P.BEFORE_RELEASE, P.AFTER_RELEASE, P.BEFORE_EFFECT, P.AFTER_EFFECT, P.BEFORE_CHECKPOINT, P.IN_CLOSE, *OFTEN,
)  # fmt: skip
#: reached only by a process that finds what another left behind
ONLY_RECOVERY = frozenset((
    P.BEFORE_TAKEOVER, P.AFTER_TAKEOVER, P.BEFORE_REPLAY, P.AFTER_REPLAY, P.BEFORE_RECONCILE, P.AFTER_RECONCILE,
    P.BEFORE_DECIDE, P.AFTER_DECIDE, P.BEFORE_WITHDRAW, P.AFTER_WITHDRAW, P.BEFORE_REGENERATE, P.AFTER_REGENERATE,
    P.BEFORE_RESOLVE, P.AFTER_RESOLVE, P.BEFORE_TELLING, P.AFTER_TELLING,
))  # fmt: skip
#: reached by processes that do nothing but this, after the run or between its lives
RESOLVING = frozenset((P.BEFORE_RESOLVE, P.AFTER_RESOLVE))
PURGING = frozenset((P.BEFORE_PURGE, P.AFTER_PURGE, P.IN_DELETION, P.AFTER_DELETION, P.BEFORE_VACUUM))

#: a call without which the point is not reached
_KIND: dict[P | None, Kind] = {
    P.BEFORE_EFFECT: Kind.KEYED,
    P.AFTER_EFFECT: Kind.KEYED,
    P.BEFORE_NOTE: Kind.NOTE,
    P.AFTER_NOTE: Kind.NOTE,
    P.BEFORE_WAIT: Kind.PERSON,
    P.AFTER_WAIT: Kind.PERSON,
    P.IN_CHUNKS: Kind.LARGE,
    P.AFTER_CHUNKS: Kind.LARGE,
    P.BEFORE_UNKNOWN: Kind.HANG,
    P.AFTER_UNKNOWN: Kind.HANG,
    P.BEFORE_LATE_RESULT: Kind.HANG,
    P.AFTER_LATE_RESULT: Kind.HANG,
}
_EFFECT = frozenset((P.BEFORE_EFFECT, P.AFTER_EFFECT))
_WITHDRAW = frozenset((P.BEFORE_WITHDRAW, P.AFTER_WITHDRAW))
_REGENERATE = frozenset((P.BEFORE_REGENERATE, P.AFTER_REGENERATE))
_CHOICES = (
    *(Kind.PAY,) * 4, *(Kind.SLOW,) * 2, Kind.DECLINE, Kind.REFUSE, Kind.LARGE, Kind.LOOK, Kind.NOTE, Kind.KEYED, Kind.KEYED,
    Kind.PERSON,
)  # fmt: skip


def group_of(n: int) -> str:
    """The effect that a call with this argument names, of two."""
    return f"group-{n % 2}"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of an agent, its deaths, and its end."""

    door: Door
    mode: str
    policy: str
    point: str
    seed: int
    #: how many processes recover at the same instant what the first one left; 0: one after the other
    race: int = 0
    #: which broken build it runs on; empty for the real one
    control: str = ""

    def __str__(self) -> str:
        words = [f"--door {self.door.value} --mode {self.mode} --policy {self.policy} --point {self.point}"]
        words += [f"--seed {self.seed}", *([f"--race {self.race}"] if self.race else [])]
        words += [f"--control {self.control}"] if self.control else []
        return " ".join(words)

    @property
    def at(self) -> P | None:
        """The point by which `toolslot.testing` knows it."""
        return None if self.point in (ANYWHERE, STOPPED) else P(self.point)

    def _chance(self, what: str) -> random.Random:
        race = f" {self.race}" if self.race else ""
        return random.Random(
            f"{what} {self.door.value} {self.mode} {self.policy} {self.point} {self.seed}{race}"
        )

    @cached_property
    def calls(self) -> tuple[CallPlan, ...]:
        chance = self._chance("calls")
        kinds = [chance.choice(_CHOICES) for _ in range(chance.randint(1, 8))]
        if self.race or self.at in ONLY_RECOVERY or self.at is None:
            kinds[:0] = [Kind.PAY, Kind.PAY]  # something must be in flight when the first owner dies
        if self.at in _KIND:
            for _ in range(3 if self.at in _EFFECT else 1):
                kinds.insert(chance.randint(0, len(kinds)), _KIND[self.at])
        if self.point == STOPPED or self.at in _REGENERATE:
            kinds = [
                kind if kind in (Kind.PAY, Kind.SLOW, Kind.LOOK, Kind.LARGE) else Kind.PAY for kind in kinds
            ]
        kinds = kinds[:8] if self.at not in _KIND else kinds
        places = [*range(len(kinds))]
        if len(kinds) > 1 and chance.random() < 0.4:
            first, second = sorted(chance.sample(places, 2))  # the same call twice
            # What the point needs stays; and LlamaIndex cannot tell two questions apart that are the same.
            asks = Kind.PERSON in (kinds[first], kinds[second]) and self.door is Door.LLAMA
            if kinds[second] is not _KIND.get(self.at) and not asks:
                kinds[second], places[second] = kinds[first], places[first]
        names = chance.choice(("call-{}", "call-{}", "call", ""))
        return tuple(
            CallPlan(kind=kind, n=100 + n, call_id=names.format(i))
            for i, (kind, n) in enumerate(zip(kinds, places, strict=True))
        )

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Those that occur: making a tool takes a framework milliseconds."""
        return tuple(kind for kind in Kind if any(call.kind is kind for call in self.calls))

    def presented(self, life: int) -> tuple[CallPlan, ...]:
        """The calls as the given life presents them."""
        if not self.changes or life == 1:
            return self.calls
        return (replace(self.calls[0], n=self.calls[0].n + 1000), *self.calls[1:])

    @cached_property
    def limit(self) -> int:
        """How many calls may run at once."""
        return 1 if self.point == STOPPED else self._chance("limit").choice((1, 2, 3, 32))

    @property
    def unsure(self) -> bool:
        """Whether there is a reconciler that cannot tell, so that `rerun` applies."""
        return self.policy == "rerun" and (
            self.at in _WITHDRAW or self.at in (P.BEFORE_RECONCILE, P.AFTER_RECONCILE)
        )

    @property
    def answered_once(self) -> bool:
        """Whether one process alone goes on with what people answered, whichever of a race have asked.

        LangGraph numbers a task's writes by what else the task was given: of two that both were given an answer, both messages are kept.
        """
        return self.door in (Door.NODE, Door.AGENT)

    @property
    def foresees(self) -> bool:
        """Whether an operator settles what a dead owner left running before anybody resumes."""
        return resolvable(self.door, self.policy) and self.seed % 3 == 2

    @property
    def changes(self) -> bool:
        """Whether the second life presents another call in one place."""
        return self.at in _REGENERATE

    @property
    def shares(self) -> bool:
        """Whether another run names the effects that calls of this one name."""
        return Kind.KEYED in self.kinds

    @property
    def begins_elsewhere(self) -> bool:
        """Whether the other run comes first and dies. Where nobody can know what became of it, somebody settles that from outside."""
        settled = self.policy in ("rerun", "reconcile") or resolvable(self.door, self.policy)
        makes = self.at in (P.IN_CREATION, P.AFTER_CREATION)  # and then finds no journal
        return self.shares and settled and not makes and self._chance("elsewhere").random() < 0.5

    @cached_property
    def kill_elsewhere(self) -> Kill:
        """Where it dies."""
        chance = self._chance("kill elsewhere")
        return self._kill(chance, chance.choice(IN_FLIGHT).value)

    @property
    def purges(self) -> bool:
        return self.at in PURGING

    @cached_property
    def busy_timeout(self) -> float:
        """How long a process waits for another one's results, in seconds. Some give up soon, and are run again."""
        impatient = self.race and self._chance("busy").random() < 0.25
        return 0.03 if impatient else 20.0

    @cached_property
    def kills(self) -> tuple[Kill, ...]:
        """Where the lives that run calls die, one after the other; those after them are left alone. Of a race, one in each round."""
        chance = self._chance("kills")
        if self.race:
            return self._kills_of_a_race(chance)
        if self.point == STOPPED or self.at in PURGING:
            return ()
        own = self._kill(chance, self.point)
        certain = self.seed % 2 == 0 and self.at is not None
        if certain:
            own = replace(own, nth=1)  # every cell is reached for certain with every other seed
        kills = [own]
        if self.at in ONLY_RECOVERY:
            first = self._kill(chance, chance.choice(IN_FLIGHT).value)
            kills = [
                replace(first, nth=1) if certain else first
            ]  # the first calls are such that are asked about
            if self.at not in RESOLVING:
                kills.append(own)
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            kills.append(self._kill(chance, chance.choice([*(point.value for point in RECOVERY), ANYWHERE])))
        return tuple(kills[:4])

    def _kills_of_a_race(self, chance: random.Random) -> tuple[Kill, ...]:
        """The first life leaves something in flight for certain; after that, in one trial of three nobody dies."""
        kills = [Kill(point=chance.choice(IN_FLIGHT).value, nth=chance.randint(1, 2))]
        if chance.random() < 2 / 3:
            beside = self.at in RESOLVING | PURGING
            kills.append(self._kill(chance, chance.choice(RECOVERY).value if beside else self.point))
            kills += [self._kill(chance, chance.choice(RECOVERY).value)][: chance.randint(0, 1)]
        return tuple(kills)

    @cached_property
    def side_kills(self) -> tuple[Kill, ...]:
        """Where the processes die that resolve or purge."""
        chance = self._chance("side")
        if self.at not in RESOLVING | PURGING:
            return ()
        others = sorted(point.value for point in (RESOLVING if self.at in RESOLVING else PURGING))
        again = chance.choice(others)  # sorted: a set has another order in every process
        return (self._kill(chance, self.point), *[Kill(point=again, nth=1)][: chance.randint(0, 1)])

    def _kill(self, chance: random.Random, point: str) -> Kill:
        if point == ANYWHERE:
            return Kill(point=point, nth=chance.randint(0, 150))
        if P(point) in _EFFECT:
            return Kill(
                point=point,
                nth=chance.randint(1, max(sum(call.kind is Kind.KEYED for call in self.calls), 1)),
            )
        return Kill(point=point, nth=chance.randint(1, min(len(self.calls), 4)) if P(point) in OFTEN else 1)


def possible(door: Door, mode: str, policy: str, point: str) -> bool:
    """Whether the point can be reached there at all."""
    if point == STOPPED:
        return door is Door.PLAIN
    if point == ANYWHERE:
        return True
    match P(point):
        case P.BEFORE_LATE_RESULT | P.AFTER_LATE_RESULT:
            return mode == "sync"  # a task that timed out is cancelled, a thread cannot be
        case P.BEFORE_WITHDRAW | P.AFTER_WITHDRAW:
            return policy == "rerun"
        case P.BEFORE_RECONCILE | P.AFTER_RECONCILE:
            return policy in ("rerun", "reconcile")
        case P.BEFORE_DECIDE | P.AFTER_DECIDE:
            return policy == "reconcile" or (policy == "ask" and door is not Door.PLAIN)
        case P.BEFORE_RESOLVE | P.AFTER_RESOLVE:
            return resolvable(door, policy)
        case P.BEFORE_TELLING | P.AFTER_TELLING:
            return policy == "fail" and door is Door.LLAMA
        case P.BEFORE_REGENERATE | P.AFTER_REGENERATE:
            return door is Door.PLAIN
        case _:
            return True


def resolvable(door: Door, policy: str) -> bool:
    """Whether an operator settles what nobody knows; elsewhere the framework asks, or tells the agent."""
    return (door is Door.PLAIN and policy in ("fail", "ask")) or (
        door in (Door.NODE, Door.AGENT) and policy == "fail"
    )
