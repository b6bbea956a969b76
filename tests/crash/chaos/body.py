"""One process of a trial, whatever its door: what its tools do, and what it notes of them in the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from crash.chaos.facts import SHARED, Fact, Verb, parse
from crash.chaos.marks import note_marks
from crash.chaos.plan import STOPPED, Door, Kind, Trial, group_of
from support.gate import pass_gate
from support.ledger import Ledger
from toolslot import (
    CallEvent,
    CallTimedOut,
    CannotTell,
    Done,
    EventKind,
    Fenced,
    Limits,
    NotDone,
    Slot,
    ToolPolicy,
    ToolslotError,
    UnknownOutcome,
    current_call,
)
from toolslot._crashpoints import Trap, arm

_TIMEOUT, _HANG, _PAUSE = 0.15, 0.4, 0.004
_LARGE = 300_000


class Declined(Exception):
    """The call's failure, which is its answer."""


class Refused(Exception):
    """It certainly did nothing."""


class Question(Exception):
    """Where no framework asks people: the call stops here until one has answered."""


def brief(text: str) -> str:
    """A result without its padding, which is checked; a failure without the words around it."""
    if failure := re.search(r"(decline|refuse):\d+!", text):
        return failure[0]  # each door says it in its own words
    head, mark, padding = text.partition("|")
    return head if padding == (_padding(head) if mark else "") else f"damaged:{head}"


def _padding(head: str) -> str:
    return (head * (_LARGE // len(head) + 1))[:_LARGE]


def key_to_index(facts: tuple[Fact, ...], key: str) -> int:
    """Whose idempotency key it is; -1 when no call has ever said so."""
    return next((fact.index for fact in facts if fact.key == key), -1)


def effect_of(facts: tuple[Fact, ...], key: str) -> str | None:
    """The result that the call with this key would have returned, if it had its effect."""
    return next((fact.word for fact in facts if fact.verb is Verb.EFFECT and fact.key == key), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What the runner wants of a process. `answers`: what people said to the questions of the life before."""

    folder: str
    trial: Trial
    life: int
    verb: str = "run"
    crash: str = ""
    answers: Any = None
    #: the first call stays in its code until `release` is there
    hold: bool = False
    #: it is one of several that go on at the same instant
    gate: bool = False

    def spoken(self) -> str:
        trial = {**vars(self.trial), "door": self.trial.door.value}
        known = {each.name: trial[each.name] for each in fields(self.trial)}
        words = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps({**words, "trial": known})

    @classmethod
    def heard(cls, text: str) -> Orders:
        words = json.loads(text)
        trial = words.pop("trial")
        return cls(trial=Trial(**{**trial, "door": Door(trial["door"])}), **words)


class Body:
    """The tools of one process and their notes."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.trial, self.life = orders, orders.trial, orders.life
        self.folder = Path(orders.folder)
        self.journal = self.folder / "journal"
        self.ledger = Ledger(self.folder / "ledger")
        #: how a tool asks a person, where the door has a way
        self.ask: Callable[[int], object] = self._ask
        if orders.trial.control:
            from crash.chaos.broken import break_build

            break_build(orders.trial.control)
        note_marks(self.note)
        if not orders.gate:
            self._arm()

    def _arm(self) -> None:
        if self.orders.crash:
            arm(Trap.parse(self.orders.crash))

    def at_the_gate(self) -> None:
        """All is ready, and the run can begin: the others of a race are waited for. Before, nobody of them dies."""
        if self.orders.gate:
            pass_gate(self.folder / "gate")
            self._arm()

    def note(self, verb: Verb, **fields: Any) -> None:
        self.ledger.note(*Fact(verb=verb, life=self.life, **fields).words())

    def facts(self) -> tuple[Fact, ...]:
        return parse(self.ledger.lines())

    # --- the tools ----------------------------------------------------------------------------------------------------

    def run(self, kind: Kind, n: int) -> str:
        steps = self._steps(kind, n)
        while True:
            try:
                time.sleep(next(steps))
            except StopIteration as stop:
                return str(stop.value)

    async def arun(self, kind: Kind, n: int) -> str:
        steps = self._steps(kind, n)
        while True:
            try:
                await asyncio.sleep(next(steps))
            except StopIteration as stop:
                return str(stop.value)

    def _steps(self, kind: Kind, n: int) -> Iterator[float]:
        """Yields the seconds to let pass; returns the result."""
        call = current_call()
        mine: dict[str, Any] = {
            "index": place_of(kind.value, call.index),
            "attempt": call.attempt,
            "key": call.idempotency_key,
        }
        self.note(Verb.BEGIN, **mine)
        begins = [fact for fact in self.facts() if fact.verb is Verb.BEGIN and fact.key == mine["key"]]
        first = len(begins) == 1
        if kind is Kind.DECLINE or (kind is Kind.REFUSE and first):
            self.note(Verb.HARMLESS, **mine)
            raise (Declined if kind is Kind.DECLINE else Refused)(f"{kind.value}:{n}!")
        if kind is Kind.PERSON:
            self.note(Verb.HARMLESS, **mine)
            self.ask(n)
        if kind is Kind.SLOW:
            yield _PAUSE
        if kind is Kind.HANG and first:
            yield _HANG
        head = f"{kind.value}:{n}:{self.life}-{os.urandom(4).hex()}"
        self.note(Verb.EFFECT, word=head, **mine)
        if kind is Kind.NOTE:
            with suppress(ToolslotError):  # it counts no more, or the process is about to end
                call.note("done", ref=head)
                self.note(Verb.NOTED, word=head, **mine)
        if self.orders.hold and call.index == 0:
            print("HOLDS", flush=True)
            while not (self.folder / "release").exists():
                yield 0.01
        if kind is Kind.SLOW:
            yield _PAUSE
        return f"{head}|{_padding(head)}" if kind is Kind.LARGE else head

    def _ask(self, n: int) -> None:
        if not self.orders.answers:
            raise Question(f"person {n}")

    # --- what the product is told -------------------------------------------------------------------------------------

    def policies(self) -> dict[str, ToolPolicy]:
        return {kind.value: self._policy(kind) for kind in Kind}

    def _policy(self, kind: Kind) -> ToolPolicy:
        if kind is Kind.LOOK:
            return ToolPolicy(idempotent=True)
        settings: dict[str, Any] = {"on_unknown": self.trial.policy}
        named: dict[str, Any] = {}
        if kind is Kind.KEYED:
            named = {"effect_key": lambda args: group_of(args["n"]), "effect_ignore": "n"}
        if self.trial.unsure:
            settings["reconcile"] = lambda slot: CannotTell("it never can")
        elif self.trial.policy == "reconcile":
            settings = {"reconcile": self._reconcile if self.trial.mode == "sync" else self._areconcile}
        if kind is Kind.REFUSE:
            settings["not_done"] = Refused
        if kind is Kind.DECLINE and self.trial.door is Door.PLAIN:
            settings["on_failed"] = "replay"
        if kind is Kind.HANG:
            settings["timeout"] = _TIMEOUT
        if self.trial.point == STOPPED:
            settings["max_parallel"] = (
                8  # so each call has a thread, and those behind the first wait for their permit
            )
        return ToolPolicy(**settings, **named)

    def _reconcile(self, slot: Slot) -> Done | NotDone:
        noted = slot.notes[-1].ref if slot.notes else "none"
        index = place_of(slot.tool, slot.index)
        self.note(Verb.ASKED, index=index, attempt=slot.attempt, key=slot.idempotency_key, word=noted)
        value = effect_of(self.facts(), slot.idempotency_key)
        return NotDone() if value is None else Done(value)

    async def _areconcile(self, slot: Slot) -> Done | NotDone:
        return self._reconcile(slot)

    def limits(self) -> Limits:
        # An owner that was taken over waits so long for the new one's results.
        return Limits(
            batch=self.trial.limit, busy_timeout=0.5 if self.orders.hold else self.trial.busy_timeout
        )

    def hook(self, event: Any) -> None:
        if not isinstance(event, CallEvent):
            return
        index = place_of(event.tool, event.index)
        late = event.kind is EventKind.LATE_RESULT and event.detail == "it is the result now"
        if event.kind in (EventKind.FINISHED, EventKind.FAILED) or late:
            word = "failed" if event.kind is EventKind.FAILED else "finished"
            self.note(Verb.ACK, index=index, attempt=event.attempt, word=word)
        elif event.kind is EventKind.TIMED_OUT:
            self.note(Verb.TIMEOUT, index=index, attempt=event.attempt)

    # --- the end of the process ---------------------------------------------------------------------------------------

    def tell(self, report: dict[str, Any]) -> None:
        """Report once no thread of a timed-out call runs any more; then the process ends, and closes the journal."""
        for thread in threading.enumerate():
            if thread.name.startswith("toolslot-call"):
                thread.join(5)
        print()
        print(json.dumps(report), flush=True)


def place_of(tool: str, index: int) -> int:
    """The index by which the facts know a call."""
    return index + SHARED if tool == Kind.KEYED.value else index


def failed(error: BaseException) -> dict[str, Any]:
    """The report of a life that ended by an error."""
    match error:
        case UnknownOutcome():
            status = "doubt"
        case CallTimedOut() | Refused():
            status = "again"
        case Question():
            status = "asks"
        case Fenced():
            status = "fenced"
        case _:
            status = type(error).__name__
    return {"status": status, "detail": f"{type(error).__name__}: {str(error)[:500]}"}
