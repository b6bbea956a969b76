"""What may happen to a batch, and what may be in it: the cases that a journal has to bring back unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from toolslot._domain._slot import Reason, Row, SlotSpec, Verdict
from toolslot._errors import Fenced
from toolslot.testing._worker import Worker, an_error, text

KIB, MIB = 1024, 1024 * 1024
#: around the sizes at which a back end may cut values into pieces
SIZES = {
    "empty": 0,
    "one byte": 1,
    "256 KiB less one": 256 * KIB - 1,
    "256 KiB": 256 * KIB,
    "256 KiB and one": 256 * KIB + 1,
    "3 MiB and 5": 3 * MIB + 5,
}
#: texts that break file names, key schemes, SQL patterns, C strings, UTF-8, and case-insensitive or normalising storage
ODD = {
    "empty": "",
    "slash": "a/b",
    "only slashes": "//",
    "parent": "..",
    "absolute": "/etc/passwd",
    "hash": "#",
    "tilde": "~",
    "percent": "%41%",
    "underscore": "_",
    "quotes": "'\"`",
    "backslash": "\\x00",
    "NUL": "a\0b",
    "only NUL": "\0",
    "newline": "a\nb",
    "carriage return": "a\r\nb",
    "spaces": "  ",
    "emoji": "\U0001f9fe\u200d\U0001f525",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "upper case": "A",
    "lower case": "a",
    "lone surrogate": "\ud800",
    "other surrogate": "x\udfff",
    "right to left": "\u202eabc",
    "highest code point": "\U0010ffff",
    "300 characters": "x" * 300,
    "300 others": "x" * 299 + "y",
    "300 wide ones": "\U0001f9fe" * 300,
}


def _finish(
    *, failed: bool = False, escaped: bool = False, error: bool = False
) -> Callable[[Worker], object]:
    def history(worker: Worker) -> None:
        worker.start(0)
        raised = an_error() if error else None
        worker.write(worker.finished(0, error=raised, failed=failed, escaped=escaped))

    return history


def _end(make: Callable[[Worker], Row]) -> Callable[[Worker], object]:
    def history(worker: Worker) -> None:
        worker.start(0)
        worker.write(make(worker))

    return history


def _lose(reason: Reason) -> Callable[[Worker], object]:
    return lambda worker: worker.doubt(0, reason)


def _decide(verdict: Verdict) -> Callable[[Worker], object]:
    def history(worker: Worker) -> None:
        worker.doubt(0)
        worker.decide(0, verdict)

    return history


def _deliver(worker: Worker) -> None:
    worker.doubt(0)
    worker.write(worker.delivered(0))


def _run_again(worker: Worker) -> None:
    worker.run(0)
    worker.write(worker.repeated(0))


def _leave_evidence(worker: Worker) -> None:
    worker.run(0)
    worker.refused(Fenced, worker.finished(0, "late"))
    worker.refused(Fenced, worker.finished(0, error=an_error("later still")))


def _give_way(worker: Worker) -> None:
    worker.run(0)
    spec = SlotSpec(index=0, tool="refund", call_id="", digest=None, args=text("{}"), idempotent=True)
    worker.write(worker.regenerated(spec))


def _change_hands(worker: Worker) -> None:
    worker.start(0)
    later = worker.succeed(worker.journal, replace(worker.owner, token="later"))
    later.release(closed=True)


#: what may happen to a batch, by the row it leaves
STORIES: dict[str, Callable[[Worker], object]] = {
    "nothing": lambda _: None,
    "started": lambda worker: worker.start(0),
    "withdrawn": _end(lambda worker: worker.withdrawn(0)),
    "paused": _end(lambda worker: worker.paused(0)),
    **{f"lost: {reason.value}": _lose(reason) for reason in Reason},
    "succeeded": _finish(),
    "failed with an answer": _finish(failed=True),
    "failed with an error": _finish(error=True),
    "escaped": _finish(error=True, escaped=True),
    **{f"decided: {verdict.value}": _decide(verdict) for verdict in Verdict},
    "noted": _end(lambda worker: worker.noted(0)),
    "run again": _run_again,
    "delivered": _deliver,
    "evidence": _leave_evidence,
    "regenerated": _give_way,
    "taken over and closed": _change_hands,
}


def blob(size: int) -> bytes:
    """So many bytes that do not compress away and hold every value."""
    pattern = bytes(range(256)) + bytes(range(255, -1, -1))
    return (pattern * (size // len(pattern) + 1))[:size]
