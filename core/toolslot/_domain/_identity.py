"""Names that must be the same in every process: of arguments, of calls, of processes.

The formats here are fixed for ever: another digest of the same arguments would make every recorded batch look like a different one, and
another idempotency key would make a payment twice. A change needs a new version in the prefix.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar, cast

from toolslot._codec._canonical import canonical
from toolslot._errors import InvalidSetting, UnreadablePayload

T = TypeVar("T")


def args_digest(tool: str, args: Mapping[str, object], *, key: bytes | None = None) -> str | None:
    """SHA-256 (64 hex digits) over the tool's name and the arguments as the model issued them; with `key` an HMAC-SHA-256.

    Equal for the same tool and the same arguments, whatever the order of keys, the hash seed, the machine or the Python version. 1, 1.0,
    True and "1" differ; so do -0.0 and 0.0, a value and its text (bytes, Decimal, datetime), and text in another Unicode normal form. A
    tuple equals a list.

    None when the arguments hold something that `JsonCodec()` cannot store: they cannot be compared then, and the call is known by its
    place and call id alone.

    Raises:
        InvalidSetting: `key` is empty; such an HMAC would keep nothing secret.
    """
    text = canonical(dict(args))
    return None if text is None else hash_of(b"toolslot-args/1", (tool,), text, key=key)


def idempotency_key(run_id: str, batch_id: str, index: int, generation: int) -> str:
    """`ts_` and 40 hex digits: the name of one call, to be handed to the API that has the effect.

    The same over attempts, processes, machines and Python versions. `batch_id` is that of the batch that was reserved first, not of one
    that adopted it; `generation` counts from 1 and grows when another call takes the place on purpose.
    """
    return "ts_" + hash_of(b"toolslot-call/1", (run_id, batch_id, str(index), str(generation)))[:40]


def hash_of(prefix: bytes, parts: tuple[str, ...], rest: bytes = b"", *, key: bytes | None = None) -> str:
    """64 hex digits; with `key` of an HMAC. Each part has its length before it, so that no two lists of parts give the same bytes."""
    message = bytearray(prefix)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        message += b"|%d:" % len(data) + data
    message += b"|" + rest
    if key is None:
        return hashlib.sha256(message).hexdigest()
    if not key:
        raise InvalidSetting(
            "args_digest(key=b''): an empty key keeps nothing secret. Give at least 16 random bytes, or None."
        )
    return hmac.new(key, message, hashlib.sha256).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessIdentity:
    """One process from its start to its end; never the same for two, even where host and pid are.

    `started` is the start in seconds since the epoch, exact to about a second: for people, and to tell a pid that is used again. `token`
    is random and is what makes the identity unique.
    """

    host: str
    pid: int
    started: float
    token: str

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started))
        return f"process {self.pid} on {self.host!r} (started {since}, {self.token!r})"

    def to_json(self) -> dict[str, object]:
        """A dict of plain JSON that `from_json` reads."""
        return {"host": self.host, "pid": self.pid, "started": self.started, "token": self.token}

    @classmethod
    def from_json(cls, data: object) -> ProcessIdentity:
        """The identity.

        Raises:
            UnreadablePayload: something is missing or has another type.
        """
        started = _get(data, "started")
        # Bounded, so that it can be shown as a date; some stores give a whole float back as an int.
        if type(started) not in (float, int) or not 0 <= cast("float", started) < _END_OF_TIME:
            raise _damaged("started")
        return cls(
            host=_field(data, "host", str),
            pid=_field(data, "pid", int),
            started=float(cast("float", started)),
            token=_field(data, "token", str),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """One batch run in one process start. `token` tells the runs of a process apart."""

    process: ProcessIdentity
    token: str

    def __str__(self) -> str:
        return f"{self.process}, batch run {self.token!r}"

    def to_json(self) -> dict[str, object]:
        """A dict of plain JSON that `from_json` reads."""
        return {"process": self.process.to_json(), "token": self.token}

    @classmethod
    def from_json(cls, data: object) -> Owner:
        """The owner.

        Raises:
            UnreadablePayload: something is missing or has another type.
        """
        process = ProcessIdentity.from_json(_get(data, "process"))
        return cls(process=process, token=_field(data, "token", str))


class OwnerState(str, Enum):
    """Whether an owner can still be at work. UNKNOWN (another host, say) is treated like ALIVE: wait, then give up, never reconcile."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


_END_OF_TIME = 2**40


def _get(data: object, name: str) -> object:
    return cast("Mapping[object, object]", data).get(name) if isinstance(data, Mapping) else None


def _field(data: object, name: str, cls: type[T]) -> T:
    value = _get(data, name)
    if type(value) is not cls:
        raise _damaged(name)
    return cast("T", value)


def _damaged(name: str) -> UnreadablePayload:
    return UnreadablePayload(
        f"the record of an owner is damaged: {name!r} is missing or not what it should be."
    )
