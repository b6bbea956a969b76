"""Runs one trial: life after life of an agent, each killed where the plan says, until one comes to its end; then it is judged."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from crash.chaos.body import Orders, effect_of, key_to_index
from crash.chaos.facts import Fact, Verb, parse
from crash.chaos.judge import Ending, Violation, judge
from crash.chaos.plan import ANYWHERE, STOPPED, Door, Kill, Trial, resolvable
from support.examining import examined
from support.forked import TESTS, Child
from support.gate import gate
from support.ledger import Ledger
from toolslot import DiskJournal, JournalError

_HERE = TESTS / "crash" / "chaos"
_SCRIPTS = {
    Door.PLAIN: _HERE / "chaos_plain.py",
    Door.NODE: _HERE / "chaos_graph.py",
    Door.AGENT: _HERE / "chaos_graph.py",
    Door.LLAMA: _HERE / "chaos_llama.py",
}
#: rounds of lives after which a run that does not come to its end is stuck
_MOST_ROUNDS = 16
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a trial showed. `deaths` names the point of each; `raced`: several processes did recover at once."""

    trial: Trial
    deaths: tuple[str, ...]
    raced: bool
    violations: tuple[Violation, ...]
    seconds: float


#: of a process that came to its end
Report: TypeAlias = dict[str, Any]


class Stuck(Exception):
    """The run does not come to its end."""


class _Run:
    def __init__(self, trial: Trial, folder: Path) -> None:
        self.trial, self.folder = trial, folder
        self.ledger = Ledger(folder / "ledger")
        self.deaths: list[str] = []
        self.kills, self.side_kills = list(trial.kills), list(trial.side_kills)
        self.life = 0
        self.raced = False
        self.answers: Any = None
        self.found: list[Violation] = []

    def facts(self) -> tuple[Fact, ...]:
        return parse(self.ledger.lines())

    def note(self, verb: Verb, **fields: Any) -> None:
        self.ledger.note(*Fact(verb=verb, **{"life": self.life, **fields}).words())

    # --- processes ----------------------------------------------------------------------------------------------------

    def child(
        self, verb: str = "run", kill: Kill | None = None, *, hold: bool = False, at_gate: bool = False
    ) -> Child:
        orders = Orders(
            folder=str(self.folder),
            trial=self.trial,
            life=self.life,
            verb=verb,
            crash=kill.armed if kill is not None else "",
            answers=self.answers,
            hold=hold,
            gate=at_gate,
        )
        return Child(_SCRIPTS[self.trial.door if verb == "run" else Door.PLAIN], orders.spoken())

    def lived(self, child: Child, kill: Kill | None = None) -> dict[str, Any] | None:
        """What the process reported at its end; None when it was killed.

        Raises:
            Stuck: it came to another end.
        """
        if kill is not None and kill.point == ANYWHERE:
            child.await_line("BEGINS")
            time.sleep(kill.nth / 1000)  # this is no waiting for anything: any moment is as good
            child.signal(signal.SIGKILL)
        code, said = child.ended(_PATIENCE)
        if code == -signal.SIGKILL:
            assert kill is not None, "nobody else kills"
            self.deaths.append(kill.point)
            return None
        if code != 0 or not isinstance(said, dict):
            raise Stuck(f"a process ended with exit code {code}: {child.errors()[-2000:]}")
        return said

    def aside(self, verb: str) -> dict[str, Any]:
        """A process that resolves or purges, again until it is not killed."""
        while True:
            kill = self.side_kills.pop(0) if self.side_kills else None
            with self.child(verb, kill) as child:
                said = self.lived(child, kill)
            if said is not None:
                return said

    # --- the run ------------------------------------------------------------------------------------------------------

    def to_its_end(self, reports: list[Report | None]) -> Ending:
        """Live until the run is done, in every process of a race. `reports`: of the lives before, if there were any."""
        told: list[Sequence[str]] = []
        left = 1
        for _ in range(_MOST_ROUNDS):
            ended = [report for report in reports if report is not None]
            told += [report["answers"] for report in ended if report["status"] == "done"]
            left = self._left(left) - sum(report["status"] == "done" for report in ended)
            if left > 1 and self.trial.answered_once and any(report["status"] == "asks" for report in ended):
                left = 1
            if left == 0:
                return Ending(status="done", answers=told[0], others=told[1:])
            self._before_the_next_lives([report for report in ended if report["status"] != "done"])
            reports = self._lives(left)
            if None in reports and self.trial.foresees:
                self.aside("resolve")
            if self.trial.door is not Door.PLAIN:
                self.answers = None
        raise Stuck(f"not done after {self.life} lives: {reports}")

    def _left(self, left: int) -> int:
        """How many are to come to the end: all of a race, once there is something to recover."""
        if self.raced or not (self.trial.race and self.deaths):
            return left
        self.raced = True
        return self.trial.race

    def _lives(self, count: int) -> list[Report | None]:
        """So many at once, what they reported, and None for the one that was killed."""
        # A life that ended before it came to its point leaves the point to the next: it may be reached with the answers only.
        kill = self.kills[0] if self.kills else None
        victim = self.trial.seed % count
        with ExitStack() as stack:
            lives: dict[int, Child] = {}
            with gate(self.folder / "gate"):
                for number in range(count):
                    self.life += 1
                    child = self.child(kill=kill if number == victim else None, at_gate=self.raced)
                    lives[self.life] = stack.enter_context(child)
                for child in lives.values() if self.raced else ():
                    child.await_line("READY")
            first = self.life - count + 1 + victim
            reports = [
                self._report(life, child, kill if life == first else None)
                for life, child in sorted(lives.items(), key=lambda it: it[0] != first)
            ]
        self.kills = self.kills[1:] if None in reports else self.kills
        return reports

    def _report(self, life: int, child: Child, kill: Kill | None) -> Report | None:
        report = self.lived(child, kill)
        if report is None:
            self.note(Verb.DEATH, life=life)
        else:
            self.note(Verb.OVER, life=life, word=report["status"])
        return report

    def _before_the_next_lives(self, reports: list[Report]) -> None:
        """Somebody answers what was asked, once, however many processes have asked it."""
        statuses = {report["status"]: report for report in reports}
        for status, report in statuses.items():
            match status:
                case "asks" if self.trial.door is Door.PLAIN:
                    self.answers = True
                case "asks":
                    asked = {name: it for each in reports for name, it in each.get("questions", {}).items()}
                    self.answers = {name: self._answer(it) for name, it in asked.items()}
                case "doubt" if resolvable(self.trial.door, self.trial.policy):
                    self.aside("resolve")
                case "again":
                    pass
                case "BatchBusy" | "fenced" if self.raced:
                    pass  # whether it may say so, the judge knows
                case _:
                    raise Stuck(f"{status}: {report.get('detail', '')}")

    def _answer(self, asked: Any) -> Any:
        """What a person says: of calls of unknown outcome, what the ledger knows."""
        if isinstance(asked, str):
            return "yes"
        answers: dict[str, Any] = {}
        for question in asked["questions"]:
            facts, key = self.facts(), question["idempotency_key"]
            index, value = key_to_index(facts, key), effect_of(facts, key)
            self.note(Verb.ASKED, index=index, key=key)
            self.note(Verb.DECIDED, index=index, key=key, word="rerun" if value is None else "done")
            answers[question["id"]] = "rerun" if value is None else {"done": value}
        return answers

    def stopped(self) -> dict[str, Any]:
        """The owner is stopped in a call's code, another one takes the batch by force, and the first goes on."""
        self.life = 1
        with self.child(hold=True) as first:
            first.await_line("HOLDS")
            first.signal(signal.SIGSTOP)
            self.life = 2
            with self.child("takeover") as second:
                second.await_line("TOOK")
                (self.folder / "release").touch()
                first.signal(signal.SIGCONT)
                left = self.lived(first)
                if left is None or left["status"] not in ("fenced", "BatchBusy"):
                    what = f"an owner whose batch was taken over was not told: {left}"
                    self.found.append(Violation(kind="duplicated", what=what))
                (self.folder / "go").touch()
                report = self.lived(second)
        self.note(Verb.OVER)
        assert report is not None
        return report

    def again(self) -> Sequence[str] | None:
        """What the finished run answers when it is run once more. LangGraph would not even enter its node."""
        if self.trial.door in (Door.NODE, Door.AGENT):
            return None
        self.life += 1
        with self.child() as child:
            report = self.lived(child)
        self.note(Verb.OVER)
        assert report is not None
        return list(report.get("answers", [str(report)]))

    def elsewhere(self, kill: Kill | None = None) -> Sequence[str]:
        """What another run gets that names the same effects, in another process and perhaps another framework. It goes on until it has an
        answer, or is killed.
        """
        for _ in range(_MOST_ROUNDS):
            self.life += 1
            with self.child("elsewhere", kill) as child:
                report = self._report(self.life, child, kill)
            if report is None or report["status"] == "done":
                return () if report is None else list(report["answers"])
            if report["status"] != "doubt":
                break
            self.aside("resolve")
        raise Stuck(f"the other run came to no end: {report}")

    def whole(self) -> Ending:
        if self.trial.begins_elsewhere:
            self.elsewhere(self.trial.kill_elsewhere)
        ending = self.to_its_end([self.stopped()] if self.trial.point == STOPPED else [])
        ending = replace(ending, again=self.again())
        if self.trial.shares:
            ending = replace(ending, elsewhere=self.elsewhere())
        if self.trial.purges and (said := self.aside("purge"))["status"] != "purged":
            self.found.append(Violation(kind="lost", what=said["status"]))
        self._examine()
        return ending

    def _examine(self) -> None:
        """The journal must be there, and sound."""
        try:
            with DiskJournal.open(self.folder / "journal", read_only=True) as journal:
                problems = examined(journal).problems
        except JournalError as error:
            left = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))
            problems = (f"{error} In the folder: {left}",)
        self.found += [
            Violation(kind="lost", what=f"the journal is damaged: {problem}") for problem in problems
        ]


def run_trial(trial: Trial, folder: Path) -> Outcome:
    """Run it in a new folder, and judge."""
    began = time.monotonic()
    run = _Run(trial, folder)
    try:
        ending = run.whole()
    except (Stuck, AssertionError) as error:
        ending = Ending(status="stuck", detail=str(error))
    violations = (*run.found, *judge(trial, run.facts(), ending))
    return Outcome(
        trial=trial,
        deaths=tuple(run.deaths),
        raced=run.raced,
        violations=violations,
        seconds=time.monotonic() - began,
    )
