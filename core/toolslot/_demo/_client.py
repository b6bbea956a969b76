"""The agent's side of the bank: what a tool would write with any HTTP library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from typing import cast
from urllib.parse import quote, urlencode


class BankError(Exception):
    """The bank refused. The text is its answer."""


@dataclass(frozen=True, slots=True)
class BankClient:
    """Talks to the bank on `port`. A request unanswered for `timeout` seconds raises `TimeoutError`."""

    port: int
    timeout: float = 60.0

    def get(self, *path: str, **query: str) -> Mapping[str, object]:
        target = "/" + "/".join(quote(part, safe="") for part in path)
        return self._send("GET", f"{target}?{urlencode(query)}" if query else target)

    def post(
        self, path: str, body: Mapping[str, object], *, idempotency_key: str | None = None
    ) -> Mapping[str, object]:
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._send("POST", f"/{path}", json.dumps(body), headers)

    def _send(
        self, method: str, target: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, object]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)) as connection:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            answer = cast("Mapping[str, object]", json.loads(response.read()))
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise BankError(f"{response.status}: {answer.get('error')}")
        return answer
