"""A server on loopback that stands for a provider: it keeps what it was asked, and may hold an answer back until the end."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a client sent; the headers are left out, for they hold ids and times."""

    path: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the provider answers, piece by piece: a streamed answer has more than one."""

    pieces: Sequence[bytes]
    kind: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """What the provider does not accept, with the reply that says so."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.pieces[0].decode())
        self.reply = reply


class Api(Protocol):
    """A provider's rules. It remembers nothing: what it answers follows from the request, as with the real one."""

    def facts(self, path: str) -> Any:
        """The answer to a GET: what is known of a model."""

    def answer(self, request: Request) -> Reply:
        """The model's answer; raises Refused."""


def plain(value: Any, status: int = 200) -> Reply:
    return Reply(pieces=[json.dumps(value).encode()], status=status)


def events(values: Sequence[Any], *, named: bool = False, end: Sequence[str] = ()) -> Reply:
    """Server-sent events, each with its type as its name when they are `named`."""
    lines = [
        (f"event: {value['type']}\n" if named else "") + f"data: {json.dumps(value)}\n\n" for value in values
    ]
    return Reply(
        pieces=[line.encode() for line in [*lines, *(f"data: {line}\n\n" for line in end)]],
        kind="text/event-stream",
    )


class Loopback:
    """The provider as the test sees it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.asked: list[Request] = []
        self.refused: list[str] = []
        self._lock = threading.Lock()
        self._hold_at = 0
        self.holding, self._hold_told = os.pipe()
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hold(self, number: int) -> None:
        """Never answer the question of this number from now on (counted from 1). Once it has come, `holding` can be read."""
        with self._lock:
            self._hold_at = len(self.asked) + number

    def take(self) -> list[Request]:
        """What was asked since the last time."""
        with self._lock:
            taken, self.asked = self.asked, []
            return taken

    def reply(self, request: Request) -> Reply | None:
        with self._lock:
            self.asked.append(request)
            held = len(self.asked) == self._hold_at
        if held:
            self._hold_at = 0
            os.write(self._hold_told, b".")
            self._over.wait()
            return None
        try:
            return self.api.answer(request)
        except Refused as refused:
            self.refused.append(str(refused))
            return refused.reply
        except Exception as error:
            self.refused.append(f"cannot even be read: {error!r}")
            return plain({"error": {"message": repr(error)}}, status=400)

    @contextmanager
    def serving(self) -> Iterator[Loopback]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()
            os.close(self.holding)
            os.close(self._hold_told)


def _handler(loopback: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(plain(loopback.api.facts(self.path)))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = loopback.reply(Request(path=self.path, body=body))
            self.close_connection = True
            if reply is not None:
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Connection", "close")
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in reply.pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except OSError:
                pass  # the client has been killed

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
