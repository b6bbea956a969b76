"""The story: eight calls of one model message, and where each of them stands when the agent is killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

#: calls that may run at the same time, on both sides; the three that hang fill it, so the last never starts
AT_ONCE = 3

#: what the user asks for; the scripted model answers it with `CALLS`
REQUEST = "Check the account and pay this month's invoices."

#: what both accounts hold before the first payment
OPENING_CENTS = 1_000_000


class Stage(str, Enum):
    """Where a call stands as the bank saw it, at the moment of the kill."""

    NOT_BEGUN = "not begun"
    #: a read without an answer, or a payment that the bank has not booked
    BEGUN = "begun"
    #: booked, but the answer did not come back
    PAID = "paid, no answer"
    FAILED = "failed"
    FINISHED = "finished"


class RequestKind(str, Enum):
    """What a request to the bank was for."""

    #: the first request of every tool: one of them is one entry of the tool's code
    ENTER = "enter"
    PAY = "pay"
    #: a reconciler asks whether a payment was booked
    ASK = "ask"
    #: the scripted model was asked for a message
    MODEL = "model"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoryCall:
    """One call of the message. `ref` is what the bank knows it by; `cents` is 0 unless it pays."""

    tool: str
    args: Mapping[str, str | int]
    ref: str
    at_kill: Stage
    label: str
    cents: int = 0

    @property
    def call_id(self) -> str:
        return f"call_{self.ref.lower().replace('-', '_')}"

    @property
    def pays(self) -> bool:
        return self.cents > 0


def _payment(invoice: str, payee: str, cents: int, at_kill: Stage) -> StoryCall:
    args: dict[str, str | int] = {"invoice": invoice, "payee": payee, "cents": cents}
    return StoryCall(tool="pay", args=args, ref=invoice, at_kill=at_kill, label=f"pay {payee}", cents=cents)


CALLS = (
    StoryCall(
        tool="balance",
        args={"account": "main"},
        ref="main",
        at_kill=Stage.FINISHED,
        label="balance",
    ),
    _payment("INV-101", "rent", 120_000, Stage.FINISHED),
    _payment("INV-102", "hosting", 8_000, Stage.FINISHED),
    StoryCall(
        tool="find_invoice",
        args={"invoice": "INV-404"},
        ref="INV-404",
        at_kill=Stage.FAILED,
        label="find invoice",
    ),
    StoryCall(
        tool="exchange_rate",
        args={"pair": "EUR-USD"},
        ref="EUR-USD",
        at_kill=Stage.BEGUN,
        label="exchange rate",
    ),
    _payment("INV-103", "insurance", 31_000, Stage.PAID),
    _payment("INV-104", "taxes", 64_000, Stage.BEGUN),
    _payment("INV-105", "water", 4_500, Stage.NOT_BEGUN),
)

#: the requests that the bank leaves unanswered until the agent is dead
HELD = frozenset(
    {
        ("EUR-USD", RequestKind.ENTER),
        ("INV-103", RequestKind.PAY),
        ("INV-104", RequestKind.ENTER),
    }
)

#: the slow answer: the others overtake it, as in life
SLOW = {("main", RequestKind.ENTER): 0.3}
