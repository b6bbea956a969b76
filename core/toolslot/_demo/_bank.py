"""A small bank on 127.0.0.1. It honours idempotency keys and can leave chosen requests without an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from socketserver import BaseServer
from threading import Condition, Event, Thread
from time import monotonic
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import Self, override

from toolslot._demo._ledger import KeyReused, Ledger
from toolslot._demo._story import OPENING_CENTS, RequestKind

#: a request to the bank: what it is about, and what for
Point = tuple[str, RequestKind]
Response = tuple[HTTPStatus, Mapping[str, object]]


class Bank:
    """Serves from entering the `with` block to leaving it, on a free port.

    `held` requests are worked on and then not answered until `release`; `slow` ones are answered after that
    many seconds. Leaving the block ends every request and closes the ledger, so its folder can be
    deleted.
    """

    def __init__(
        self, path: Path, *, held: frozenset[Point] = frozenset(), slow: Mapping[Point, float] | None = None
    ) -> None:
        self.ledger = Ledger(path)
        self._held, self._slow = held, dict(slow or {})
        self._released = Event()
        self._leaving = Event()
        self._waiting: set[Point] = set()
        self._changed = Condition()
        self._server = _Server(self)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="demo-bank", daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._leaving.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.ledger.close()

    def release(self) -> None:
        """Hold no request back from now on; those that wait are answered."""
        self._released.set()

    def wait_until_held(self, *, seconds: float, watch: Callable[[], None]) -> bool:
        """Whether every request in `held` hangs within `seconds`.

        `watch` is called now and then; what it raises ends the wait.
        """
        until = monotonic() + seconds
        with self._changed:
            while not self._held <= self._waiting:
                if monotonic() >= until:
                    return False
                watch()
                self._changed.wait(0.05)
        return True

    def keep_waiting(self, point: Point) -> None:
        """Called by a request that is worked on and about to be answered."""
        if point in self._slow:
            self._leaving.wait(self._slow[point])
        if point in self._held and not self._released.is_set():
            with self._changed:
                self._waiting.add(point)
                self._changed.notify_all()
            self._released.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, bank: Bank) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, bank))

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: a client that was killed breaks its connection, and that is the demo's whole point."""


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, bank: Bank, request: socket, client_address: object, server: BaseServer) -> None:
        self._bank = bank
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        self._serve(body)

    def _serve(self, body: Mapping[str, object] | None) -> None:
        bank, url = self._bank, urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        parts = [self.command, *url.path.strip("/").split("/")]
        known = _route(parts, query, body)
        if known is None:
            return self._send(HTTPStatus.NOT_FOUND, {"error": "no such page"})
        request = bank.ledger.note(*known)
        status, answer = _answer(bank.ledger, parts, query, body, self.headers.get("Idempotency-Key"))
        bank.keep_waiting(known)
        bank.ledger.answered(request, status)
        return self._send(status, answer)

    def _send(self, status: HTTPStatus, answer: Mapping[str, object]) -> None:
        data = json.dumps(answer).encode()
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: the ledger is the log."""


def _route(parts: list[str], query: Mapping[str, str], body: Mapping[str, object] | None) -> Point | None:
    """What a request is about and what for; None for an unknown page."""
    match parts:
        case ["GET", "accounts" | "rates" | "invoices", ref]:
            return ref, RequestKind.ENTER
        case ["GET", "payees", _]:
            return query["invoice"], RequestKind.ENTER
        case ["GET", "payments"]:
            return query["invoice"], RequestKind.ASK
        case ["POST", "payments"] if body is not None:
            return str(body["invoice"]), RequestKind.PAY
        case ["POST", "model"] if body is not None:
            return str(body["asked_for"]), RequestKind.MODEL
        case _:
            return None


def _answer(
    ledger: Ledger,
    parts: list[str],
    query: Mapping[str, str],
    body: Mapping[str, object] | None,
    key: str | None,
) -> Response:
    match parts[1]:
        case "accounts":
            return HTTPStatus.OK, {"balance": _euros(OPENING_CENTS - ledger.spent())}
        case "rates":
            return HTTPStatus.OK, {"rate": "1.08"}
        case "invoices":
            return HTTPStatus.NOT_FOUND, {"error": f"no invoice {parts[2]}"}
        case "payees":
            return HTTPStatus.OK, {"account": f"account of {parts[2]}"}
        case "payments" if body is None:
            found = ledger.find(query["key"])
            return HTTPStatus.OK, {"receipt": found.receipt if found else None}
        case "payments" if body is not None:
            return _book(ledger, body, key)
        case _:
            return HTTPStatus.OK, {}


def _book(ledger: Ledger, body: Mapping[str, object], key: str | None) -> Response:
    invoice, payee, cents = body["invoice"], body["payee"], body["cents"]
    if not (isinstance(invoice, str) and isinstance(payee, str) and isinstance(cents, int)):
        return HTTPStatus.BAD_REQUEST, {"error": "a payment needs invoice, payee and cents"}
    try:
        payment = ledger.book(invoice=invoice, payee=payee, cents=cents, key=key)
    except KeyReused as error:
        return HTTPStatus.CONFLICT, {"error": str(error)}
    return HTTPStatus.CREATED, {"receipt": payment.receipt}


def _euros(cents: int) -> str:
    return f"{cents / 100:,.2f} EUR"
