"""The bank's ledger: one SQLite file that holds every payment and every request, and so judges both sides."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Lock

from toolslot._demo._story import RequestKind

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
    id INTEGER PRIMARY KEY,
    invoice TEXT NOT NULL,
    payee TEXT NOT NULL,
    cents INTEGER NOT NULL,
    key TEXT UNIQUE
);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY,
    ref TEXT NOT NULL,
    kind TEXT NOT NULL,
    status INTEGER,
    at REAL NOT NULL,
    answered_at REAL
);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """One booking. `key` is the Idempotency-Key it came with, if any."""

    id: int
    invoice: str
    payee: str
    cents: int
    key: str | None

    @property
    def receipt(self) -> str:
        return f"R-{self.id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request as it arrived. `status` is the answer's HTTP status, None before the bank answers. Times are wall-clock seconds."""

    ref: str
    kind: RequestKind
    status: int | None
    at: float = 0.0
    answered_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How often each thing happened for one call."""

    entered: int
    pay_requests: int
    asked: int
    unanswered: int
    refused: int
    receipts: tuple[str, ...]

    @property
    def booked(self) -> int:
        return len(self.receipts)


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerCopy:
    """The whole ledger at one moment."""

    payments: tuple[Payment, ...]
    requests: tuple[Request, ...]

    def tally(self, ref: str) -> Tally:
        mine = [request for request in self.requests if request.ref == ref]
        return Tally(
            entered=sum(request.kind is RequestKind.ENTER for request in mine),
            pay_requests=sum(request.kind is RequestKind.PAY for request in mine),
            asked=sum(request.kind is RequestKind.ASK for request in mine),
            unanswered=sum(request.status is None for request in mine),
            refused=sum((request.status or 0) >= HTTPStatus.BAD_REQUEST for request in mine),
            receipts=tuple(payment.receipt for payment in self.payments if payment.invoice == ref),
        )

    def model_asked(self, ref: str) -> int:
        return sum(request.kind is RequestKind.MODEL and request.ref == ref for request in self.requests)


class KeyReused(ValueError):
    """An Idempotency-Key came back with another payment than the one it was first used for."""


class Ledger:
    """Each method is one transaction, safe to call from any thread. Close it before its folder is deleted."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._lock = Lock()
        self._clock = clock
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript(_SCHEMA)

    def note(self, ref: str, kind: RequestKind) -> int:
        """Write a request down as it arrives; returns its number."""
        with self._lock, self._db as db:
            cursor = db.execute(
                "INSERT INTO requests (ref, kind, at) VALUES (?, ?, ?)", (ref, kind.value, self._clock())
            )
            return cursor.lastrowid or 0

    def answered(self, request: int, status: int) -> None:
        with self._lock, self._db as db:
            db.execute(
                "UPDATE requests SET status = ?, answered_at = ? WHERE id = ?",
                (status, self._clock(), request),
            )

    def book(self, *, invoice: str, payee: str, cents: int, key: str | None) -> Payment:
        """Move the money, or return the first payment of a key that is used again.

        Raises `KeyReused` when that first payment was for something else.
        """
        with self._lock, self._db as db:
            if key is not None:
                row = db.execute("SELECT * FROM payments WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    first = _payment(row)
                    if (first.invoice, first.payee, first.cents) != (invoice, payee, cents):
                        raise KeyReused(f"the key of {first.receipt} was sent with another payment")
                    return first
            cursor = db.execute(
                "INSERT INTO payments (invoice, payee, cents, key) VALUES (?, ?, ?, ?)",
                (invoice, payee, cents, key),
            )
            number = cursor.lastrowid or 0
        return Payment(id=number, invoice=invoice, payee=payee, cents=cents, key=key)

    def find(self, key: str) -> Payment | None:
        with self._lock:
            row = self._db.execute("SELECT * FROM payments WHERE key = ?", (key,)).fetchone()
        return None if row is None else _payment(row)

    def spent(self) -> int:
        """Cents of all payments together."""
        with self._lock:
            (cents,) = self._db.execute("SELECT coalesce(sum(cents), 0) FROM payments").fetchone()
        return int(cents)

    def copy(self) -> LedgerCopy:
        with self._lock:
            payments = self._db.execute("SELECT * FROM payments ORDER BY id").fetchall()
            requests = self._db.execute(
                "SELECT ref, kind, status, at, answered_at FROM requests ORDER BY id"
            ).fetchall()
        return LedgerCopy(
            payments=tuple(_payment(row) for row in payments),
            requests=tuple(
                Request(ref=ref, kind=RequestKind(kind), status=status, at=at, answered_at=answered_at)
                for ref, kind, status, at, answered_at in requests
            ),
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _payment(row: tuple[int, str, str, int, str | None]) -> Payment:
    number, invoice, payee, cents, key = row
    return Payment(id=number, invoice=invoice, payee=payee, cents=cents, key=key)
