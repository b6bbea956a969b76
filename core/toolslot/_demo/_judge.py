"""What happened to each call, by the bank's ledger, and whether that keeps the promise. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from toolslot._demo._ledger import LedgerCopy, Tally
from toolslot._demo._story import CALLS, REQUEST, Stage, StoryCall

#: journal states in which a call never runs again
_RECORDED = frozenset({"succeeded", "failed"})


class Action(str, Enum):
    """What the resumed agent did about one call, as the bank saw it."""

    #: the agent has its answer and the bank heard nothing
    REPLAYED = "replayed"
    RUN = "run"
    RUN_AGAIN = "run again"
    #: the bank was asked and said it had booked; the tool did not run
    FOUND = "reconciled: paid"
    #: the bank was asked and had booked nothing; the tool ran
    NOT_FOUND = "reconciled: run"
    #: the agent never got an answer
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolAnswer:
    """One tool message that the resumed agent gave its model."""

    call_id: str
    failed: bool
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CallReport:
    """One call before the kill and after the resume. Journal states are None for a side without a journal."""

    call: StoryCall
    at_kill: Stage
    before: str | None
    after: str | None
    action: Action
    answers: tuple[ToolAnswer, ...]
    entered: int
    entered_after_kill: int
    receipts: tuple[str, ...]

    @property
    def booked(self) -> int:
        return len(self.receipts)

    @property
    def twice(self) -> bool:
        return self.booked > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SideReport:
    """One side of the demo. Money is in cents; `model_asked`: how often the model was asked what to call."""

    rows: tuple[CallReport, ...]
    order: tuple[str, ...]
    model_asked: int
    payments: int
    moved: int
    repeats_refused: int

    @property
    def owed(self) -> int:
        return sum(row.call.cents for row in self.rows)

    @property
    def invoices(self) -> int:
        return sum(row.call.pays for row in self.rows)

    @property
    def off_story(self) -> tuple[CallReport, ...]:
        """Calls that the kill found elsewhere than the story says: honest, but not what we want to show."""
        return tuple(row for row in self.rows if row.at_kill is not row.call.at_kill)


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalStates:
    """The journal's state of each call by its place in the message, at the kill and at the end."""

    before: Mapping[int, str]
    after: Mapping[int, str]


def report(
    *,
    before: LedgerCopy,
    after: LedgerCopy,
    answers: Sequence[ToolAnswer],
    journal: JournalStates,
    calls: Sequence[StoryCall] = CALLS,
) -> SideReport:
    """One side's report, from the ledger at the kill and at the end and the answers the model was given."""
    return SideReport(
        rows=tuple(
            _row(
                call,
                before.tally(call.ref),
                after.tally(call.ref),
                tuple(answer for answer in answers if answer.call_id == call.call_id),
                (journal.before.get(index), journal.after.get(index)),
            )
            for index, call in enumerate(calls)
        ),
        order=tuple(answer.call_id for answer in answers),
        model_asked=after.model_asked(REQUEST),
        payments=len(after.payments),
        moved=sum(payment.cents for payment in after.payments),
        repeats_refused=sum(after.tally(call.ref).pay_requests for call in calls) - len(after.payments),
    )


def judge(side: SideReport) -> tuple[str, ...]:
    """Every way in which the ledger disagrees with the promise; empty when it was kept."""
    problems = [problem for row in side.rows for problem in _judge_call(row)]
    expected = tuple(row.call.call_id for row in side.rows)
    if sorted(side.order) == sorted(expected) and side.order != expected:
        problems.append("the answers did not come in the order of the calls")
    if side.model_asked != 1:
        problems.append(f"the model was asked {side.model_asked} times what to call, not once")
    return tuple(problems)


def _judge_call(row: CallReport) -> list[str]:
    name, problems = row.call.label, list[str]()
    if len(row.answers) != 1:
        problems.append(f"{name}: the model got {len(row.answers)} answers, not one")
    if row.call.pays and row.booked != 1:
        problems.append(f"{name}: the bank booked it {row.booked} times, not once")
    if _recorded(row) and row.entered_after_kill:
        problems.append(f"{name}: it was recorded before the kill and ran again")
    if row.call.pays and row.at_kill in (Stage.BEGUN, Stage.PAID) and row.action is Action.RUN_AGAIN:
        problems.append(f"{name}: it had begun before the kill and ran again without asking the bank")
    if row.at_kill is Stage.NOT_BEGUN and row.entered != 1:
        problems.append(f"{name}: it had not begun at the kill and then ran {row.entered} times, not once")
    for answer in row.answers:
        if row.booked == 1 and row.receipts[0] not in answer.text:
            problems.append(f"{name}: the answer does not name the ledger's receipt {row.receipts[0]}")
        if answer.failed is not (row.call.at_kill is Stage.FAILED):
            problems.append(f"{name}: the answer is {'an error' if answer.failed else 'no error'}")
    return problems


def _recorded(row: CallReport) -> bool:
    if row.before is not None:
        return row.before in _RECORDED
    return row.at_kill in (Stage.FINISHED, Stage.FAILED)


def _row(
    call: StoryCall,
    before: Tally,
    after: Tally,
    answers: tuple[ToolAnswer, ...],
    journal: tuple[str | None, str | None],
) -> CallReport:
    return CallReport(
        call=call,
        at_kill=_stage(call, before),
        before=journal[0],
        after=journal[1],
        action=_action(before, after, answered=bool(answers)),
        answers=answers,
        entered=after.entered,
        entered_after_kill=after.entered - before.entered,
        receipts=after.receipts,
    )


def _stage(call: StoryCall, tally: Tally) -> Stage:
    if not tally.entered:
        return Stage.NOT_BEGUN
    if tally.refused:
        return Stage.FAILED
    if tally.unanswered:
        return Stage.PAID if tally.booked else Stage.BEGUN
    return Stage.FINISHED if tally.booked or not call.pays else Stage.BEGUN


def _action(before: Tally, after: Tally, *, answered: bool) -> Action:
    if not answered:
        return Action.LOST
    ran = after.entered > before.entered
    if after.asked > before.asked:
        return Action.NOT_FOUND if ran else Action.FOUND
    if not ran:
        return Action.REPLAYED
    return Action.RUN_AGAIN if before.entered else Action.RUN
