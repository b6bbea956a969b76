"""The figures of a chaos run: one line, and how to repeat what went wrong. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crash.chaos.trial import Outcome
from toolslot.testing import CrashPoint

KINDS = ("lost", "duplicated", "stuck", "asked_wrongly", "wrong_answers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What many trials showed together. `unreached`: points that are named and at which nothing died. `raced`: trials with a race."""

    trials: int
    raced: int
    deaths: int
    points: frozenset[str]
    found: Counter[str]
    unreached: tuple[str, ...]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Figures:
        trials, raced, died, found = 0, 0, list[str](), Counter[str]()
        for outcome in outcomes:
            trials += 1
            raced += outcome.raced
            died += outcome.deaths
            # A trial that shows the same thing ten times has found it once.
            found.update({violation.kind for violation in outcome.violations})
        reached = frozenset(died)
        named = [point.value for point in CrashPoint]
        return cls(
            trials=trials,
            raced=raced,
            deaths=len(died),
            points=reached & frozenset(named),
            found=found,
            unreached=tuple(point for point in named if point not in reached),
        )

    def line(self, seconds: float) -> str:
        violations = " ".join(f"{kind}={self.found[kind]}" for kind in KINDS)
        counted = f"deaths={self.deaths} points={len(self.points)} trials={self.trials} raced={self.raced}"
        return f"{counted} {violations} seconds={seconds:.0f}"


def repeat(outcome: Outcome) -> Iterator[str]:
    """What went wrong in a trial, and the command that runs it again."""
    if outcome.violations:
        yield f"make chaos ARGS='{outcome.trial}'"
    for violation in outcome.violations:
        yield f"    {violation.kind}: {violation.what}"
