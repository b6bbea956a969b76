"""One side of the demo: a bank, an agent that is killed amid its calls, and the same agent resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolslot._demo._bank import Bank, Point
from toolslot._demo._frameworks import Framework
from toolslot._demo._journal import journal_states
from toolslot._demo._judge import JournalStates, SideReport, ToolAnswer, report
from toolslot._demo._processes import Agent, Agents, Deadline
from toolslot._demo._story import HELD, SLOW

#: told (side, what happens now), from the side's thread
OnStep = Callable[[str, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SideRun:
    """A side's report and how it came about. Times are seconds since the demo began."""

    name: str
    report: SideReport
    killed_pid: int
    killed_at: float
    resumed_pid: int
    ended_at: float


class Side:
    """`name` is "plain" or "durable"; `folder` holds all its files and must exist. `slow` is how long the bank takes, as in `Bank`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        framework: Framework,
        agents: Agents,
        deadline: Deadline,
        on_step: OnStep,
        *,
        slow: Mapping[Point, float] = SLOW,
    ) -> None:
        self.name = name
        self._folder = folder
        self._agent = framework.agent
        self._agents = agents
        self._deadline = deadline
        self._on_step = on_step
        self._slow = slow

    def run(self) -> SideRun:
        """Raises `DemoFailed` when an agent ends early or the deadline passes."""
        with Bank(self._folder / "ledger.db", held=HELD, slow=self._slow) as bank:
            self._step("starts its agent")
            first = self._start(bank, "start")
            if not bank.wait_until_held(seconds=self._deadline.left, watch=first.check_alive):
                raise self._deadline.missed("the agent had not come to the calls that hang")
            self._step("has three calls in flight: kill -9")
            first.kill()
            killed_at, before, states_before = self._deadline.spent, bank.ledger.copy(), self._states()
            bank.release()
            self._step("resumes in a new process")
            second = self._start(bank, "resume")
            second.wait(self._deadline)
            self._step("has finished")
            after, states_after = bank.ledger.copy(), self._states()
        journal = JournalStates(before=states_before, after=states_after)
        return SideRun(
            name=self.name,
            report=report(before=before, after=after, answers=self._answers(), journal=journal),
            killed_pid=first.pid,
            killed_at=killed_at,
            resumed_pid=second.pid,
            ended_at=self._deadline.spent,
        )

    def _start(self, bank: Bank, verb: str) -> Agent:
        arguments = [verb, f"--side={self.name}", f"--bank={bank.port}", f"--folder={self._folder}"]
        return self._agents.start(self._agent, arguments, self._folder / f"agent-{verb}.log")

    def _states(self) -> Mapping[int, str]:
        return journal_states(self._folder / "journal")

    def _answers(self) -> tuple[ToolAnswer, ...]:
        rows = json.loads((self._folder / "answers.json").read_text(encoding="utf-8"))
        return tuple(
            ToolAnswer(call_id=row["call_id"], failed=row["failed"], text=row["text"]) for row in rows
        )

    def _step(self, what: str) -> None:
        self._on_step(self.name, what)
