"""The judge is pure: a ledger and the answers in, the problems out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from toolslot._demo._judge import Action, JournalStates, SideReport, ToolAnswer, judge, report
from toolslot._demo._ledger import LedgerCopy, Payment, Request
from toolslot._demo._story import CALLS, REQUEST, RequestKind, Stage, StoryCall

OK, NOT_FOUND = 200, 404
STATES = {
    Stage.NOT_BEGUN: "reserved",
    Stage.BEGUN: "running",
    Stage.PAID: "running",
    Stage.FAILED: "failed",
    Stage.FINISHED: "succeeded",
}
BEFORE = {index: STATES[call.at_kill] for index, call in enumerate(CALLS)}
AFTER = {index: "failed" if call.at_kill is Stage.FAILED else "succeeded" for index, call in enumerate(CALLS)}


class Books:
    """Writes a ledger by hand, one event of the story at a time."""

    def __init__(self) -> None:
        self.payments: list[Payment] = []
        self.requests: list[Request] = []

    def enter(self, call: StoryCall, status: int | None = OK) -> None:
        self.requests.append(Request(ref=call.ref, kind=RequestKind.ENTER, status=status))

    def ask(self, call: StoryCall) -> None:
        self.requests.append(Request(ref=call.ref, kind=RequestKind.ASK, status=OK))

    def pay(self, call: StoryCall, status: int | None = OK) -> None:
        self.requests.append(Request(ref=call.ref, kind=RequestKind.PAY, status=status))
        number = len(self.payments) + 1
        payment = Payment(id=number, invoice=call.ref, payee="p", cents=call.cents, key=None)
        self.payments.append(payment)

    def ask_model(self) -> None:
        self.requests.append(Request(ref=REQUEST, kind=RequestKind.MODEL, status=OK))

    def run(self, call: StoryCall) -> None:
        """The tool from its first line to its last."""
        self.enter(call, NOT_FOUND if call.at_kill is Stage.FAILED else OK)
        if call.pays:
            self.pay(call)

    def until_kill(self, call: StoryCall) -> None:
        if call.at_kill in (Stage.FINISHED, Stage.FAILED):
            self.run(call)
        elif call.at_kill is Stage.PAID:
            self.enter(call)
            self.pay(call, None)
        elif call.at_kill is Stage.BEGUN:
            self.enter(call, None)

    def copy(self) -> LedgerCopy:
        return LedgerCopy(payments=tuple(self.payments), requests=tuple(self.requests))

    def answer(self, call: StoryCall) -> ToolAnswer:
        receipts = [payment.receipt for payment in self.payments if payment.invoice == call.ref]
        return ToolAnswer(
            call_id=call.call_id, failed=call.at_kill is Stage.FAILED, text=" ".join(receipts[-1:])
        )


def resume_durably(books: Books, call: StoryCall) -> None:
    if call.pays and call.at_kill in (Stage.PAID, Stage.BEGUN):
        books.ask(call)
    if call.at_kill in (Stage.NOT_BEGUN, Stage.BEGUN):
        books.run(call)


Resume = Callable[[Books, StoryCall], None]
Edit = Callable[[list[ToolAnswer]], Sequence[ToolAnswer]]


def tell(
    resume: Resume = resume_durably, *, edit: Edit = lambda answers: answers, model_asked: int = 1
) -> SideReport:
    """The story with one thing different."""
    books = Books()
    for _ in range(model_asked):
        books.ask_model()
    for call in CALLS:
        books.until_kill(call)
    before = books.copy()
    for call in CALLS:
        resume(books, call)
    answers = edit([books.answer(call) for call in CALLS])
    journal = JournalStates(before=BEFORE, after=AFTER)
    return report(before=before, after=books.copy(), answers=answers, journal=journal)


def call_at(stage: Stage) -> StoryCall:
    return next(call for call in CALLS if call.at_kill is stage and (call.pays or stage is Stage.FAILED))


def also_running(unwanted: Stage) -> Resume:
    """The resume as it should be, except that the call of one stage runs without need."""

    def resume(books: Books, call: StoryCall) -> None:
        if call is call_at(unwanted):
            books.run(call)
        else:
            resume_durably(books, call)

    return resume


def test_the_story_as_promised_has_no_problem() -> None:
    assert judge(tell()) == ()


def test_the_ledger_tells_what_the_resume_did_to_each_call() -> None:
    actions = {row.call.ref: row.action for row in tell().rows}
    assert actions == {
        "main": Action.REPLAYED,
        "INV-101": Action.REPLAYED,
        "INV-102": Action.REPLAYED,
        "INV-404": Action.REPLAYED,
        "EUR-USD": Action.RUN_AGAIN,
        "INV-103": Action.FOUND,
        "INV-104": Action.NOT_FOUND,
        "INV-105": Action.RUN,
    }


def test_the_ledger_tells_where_the_kill_found_each_call() -> None:
    side = tell()
    assert [row.at_kill for row in side.rows] == [call.at_kill for call in CALLS]
    assert side.off_story == ()


def test_a_finished_payment_that_runs_again_is_a_problem() -> None:
    problems = judge(tell(also_running(Stage.FINISHED)))
    assert any("ran again" in problem for problem in problems)
    assert any("booked it 2 times" in problem for problem in problems)


def test_a_recorded_failure_that_runs_again_is_a_problem() -> None:
    assert any("ran again" in problem for problem in judge(tell(also_running(Stage.FAILED))))


def test_a_payment_in_flight_that_is_booked_twice_is_a_problem() -> None:
    problems = judge(tell(also_running(Stage.PAID)))
    assert any("booked it 2 times" in problem for problem in problems)


def test_a_payment_in_flight_that_runs_without_asking_is_a_problem_even_when_it_ends_well() -> None:
    side = tell(also_running(Stage.BEGUN))
    assert [row.booked for row in side.rows if row.call.at_kill is Stage.BEGUN and row.call.pays] == [1]
    assert any("without asking the bank" in problem for problem in judge(side))


def test_a_payment_that_is_never_made_is_a_problem() -> None:
    def resume(books: Books, call: StoryCall) -> None:
        if call.at_kill is not Stage.NOT_BEGUN:
            resume_durably(books, call)

    assert any("booked it 0 times" in problem for problem in judge(tell(resume)))


def test_a_lost_answer_is_a_problem() -> None:
    side = tell(edit=lambda answers: answers[1:])
    assert side.rows[0].action is Action.LOST
    assert any("got 0 answers" in problem for problem in judge(side))


def test_a_second_answer_to_one_call_is_a_problem() -> None:
    assert any(
        "got 2 answers" in problem for problem in judge(tell(edit=lambda answers: [*answers, answers[0]]))
    )


def test_answers_in_another_order_than_the_calls_are_a_problem() -> None:
    problems = judge(tell(edit=lambda answers: [answers[1], answers[0], *answers[2:]]))
    assert problems == ("the answers did not come in the order of the calls",)


def test_an_answer_that_names_another_receipt_than_the_ledger_is_a_problem() -> None:
    problems = judge(tell(edit=lambda answers: [replace(answer, text="R-99") for answer in answers]))
    assert len(problems) == sum(call.pays for call in CALLS)


@pytest.mark.parametrize("stage", [Stage.FINISHED, Stage.FAILED])
def test_an_error_where_there_was_none_and_none_where_there_was_one_are_problems(stage: Stage) -> None:
    def flip(answers: list[ToolAnswer]) -> list[ToolAnswer]:
        at = CALLS.index(call_at(stage))
        answers[at] = replace(answers[at], failed=not answers[at].failed)
        return answers

    assert len(judge(tell(edit=flip))) == 1


def test_a_model_that_is_asked_again_is_a_problem() -> None:
    assert judge(tell(model_asked=2)) == ("the model was asked 2 times what to call, not once",)


def test_running_everything_again_shows_what_a_plain_node_costs() -> None:
    side = tell(Books.run)
    assert side.payments == 8
    assert side.moved - side.owed == 120_000 + 8_000 + 31_000
    assert sum(row.twice for row in side.rows) == 3


def test_a_kill_at_another_moment_than_told_is_seen() -> None:
    side = tell()
    moved = replace(side.rows[1], at_kill=Stage.PAID)
    assert replace(side, rows=(side.rows[0], moved, *side.rows[2:])).off_story == (moved,)
