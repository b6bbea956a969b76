"""What is kept of an exception: enough for a person and for a policy, nothing that has to be imported to read it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from toolslot._codec._plain import is_plain
from toolslot._codec._text import both_ends, lines, one_line, qualified_name
from toolslot._codec._tree import compact
from toolslot._errors import ToolslotError, UnreadablePayload

T = TypeVar("T")

MAX_CAUSES = 8
MAX_MESSAGE = 4000
MAX_BASES = 32
MAX_NOTES = 16
MAX_NOTE = 1000
MAX_ARGS = 4000
MAX_TRACEBACK = 8 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorRecord:
    """A recorded exception. It is never raised again as its own class: that would mean to import what stored data names.

    All texts (those within `args` apart) are free of control characters other than line breaks and tabs.

    Attributes:
        type_name: `module.Class`, "builtins.ValueError" for one. A name to compare with or to show, never to import.
        message: `str()` of the exception, at most 4000 characters.
        args: The exception's `args` where they are plain JSON of at most 4000 bytes, else None.
        notes: What `add_note` left, the first 16, each at most 1000 characters.
        cause: What it was raised from or during, without a traceback of its own; at most 8 deep.
        traceback: As Python prints it, causes included; at most 8 KiB of UTF-8, beginning and end where it was longer.
        bases: The names of the classes it was derived from, nearest first, at most 32; so that a policy for a base class finds it again.
    """

    type_name: str
    message: str
    args: tuple[object, ...] | None = None
    notes: tuple[str, ...] = ()
    cause: ErrorRecord | None = None
    traceback: str = ""
    bases: tuple[str, ...] = ()

    def is_any_of(self, types: tuple[type[BaseException], ...]) -> bool:
        """Whether it was an instance of one of the types, by their names."""
        names = {self.type_name, *self.bases}
        return any(qualified_name(item) in names for item in types)

    def __repr__(self) -> str:
        # Messages may hold secrets, and reprs end up in logs.
        return f"<ErrorRecord {self.type_name}>"

    def to_json(self) -> dict[str, object]:
        """A dict of plain JSON that `from_json` reads."""
        return {
            "type": self.type_name,
            "message": self.message,
            "args": None if self.args is None else list(self.args),
            "notes": list(self.notes),
            "cause": None if self.cause is None else self.cause.to_json(),
            "traceback": self.traceback,
            "bases": list(self.bases),
        }

    @classmethod
    def from_json(cls, data: object) -> ErrorRecord:
        """The record; keys it does not know are left out.

        Raises:
            UnreadablePayload: something is missing or has another type, or there are too many causes.
        """
        return _read(data, MAX_CAUSES)


def encode_error(error: BaseException) -> ErrorRecord:
    """The record of any exception: one that cannot be pickled, of a local class, with a `__str__` that raises. Never raises."""
    chain = [error]
    while len(chain) <= MAX_CAUSES:
        cause = _attempt(lambda: _cause(chain[-1]), None)
        if cause is None or any(cause is seen for seen in chain):
            break
        chain.append(cause)
    record = None
    for each in reversed(chain):
        record = _record(each, record, traceback="" if each is not error else _traceback(error))
    assert record is not None, "the chain begins with the error"
    return record


def _record(error: BaseException, cause: ErrorRecord | None, traceback: str) -> ErrorRecord:
    return ErrorRecord(
        type_name=qualified_name(type(error)),
        message=lines(_message(error), MAX_MESSAGE),
        args=_attempt(lambda: _args(error), None),
        notes=_attempt(lambda: _notes(error), ()),
        cause=cause,
        traceback=traceback,
        bases=_attempt(
            lambda: tuple(qualified_name(base) for base in type(error).__mro__[1:-1])[:MAX_BASES], ()
        ),
    )


def _attempt(read: Callable[[], T], otherwise: T) -> T:
    """Exceptions are other people's code: any attribute may be a property that raises."""
    try:
        return read()
    except Exception:
        return otherwise


def _message(error: BaseException) -> str:
    try:
        return str.__str__(str(error))  # exactly a str, whatever __str__ gave
    except Exception as raised:
        return f"<no message: str() of the exception raised {one_line(type(raised).__name__, 100)}>"


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def _args(error: BaseException) -> tuple[object, ...] | None:
    args = list(error.args)
    # Copied through JSON: the record must not change when the exception's own lists do.
    if not is_plain(args, max_depth=20, max_bytes=MAX_ARGS):
        return None
    text = compact(args)
    if len(text.encode()) > MAX_ARGS:  # raises, and so gives None, at a lone surrogate
        return None
    return tuple(json.loads(text))


def _notes(error: BaseException) -> tuple[str, ...]:
    notes: list[object] = list(getattr(error, "__notes__", ()))
    return tuple(lines(note, MAX_NOTE) for note in notes[:MAX_NOTES] if isinstance(note, str))


def _traceback(error: BaseException) -> str:
    text = _attempt(lambda: "".join(traceback.format_exception(type(error), error, error.__traceback__)), "")
    return both_ends(text, MAX_TRACEBACK)


def _read(data: object, causes_left: int) -> ErrorRecord:
    if not isinstance(data, Mapping):
        raise _unreadable("the record")
    fields = cast("Mapping[object, object]", data)
    args, cause = fields.get("args"), fields.get("cause")
    notes = _list(fields, "notes")
    if cause is not None and causes_left == 0:
        raise _unreadable("the chain of causes")
    if not all(isinstance(note, str) for note in notes):
        raise _unreadable("notes")
    return ErrorRecord(
        type_name=_str(fields, "type"),
        message=_str(fields, "message"),
        args=None if args is None else tuple(_list(fields, "args")),
        notes=tuple(cast("list[str]", notes)),
        cause=None if cause is None else _read(cause, causes_left - 1),
        traceback=_str(fields, "traceback"),
        bases=_names(fields),
    )


def _names(fields: Mapping[object, object]) -> tuple[str, ...]:
    bases = _list(fields, "bases") if "bases" in fields else []
    if not all(isinstance(base, str) for base in bases):
        raise _unreadable("bases")
    return tuple(cast("list[str]", bases))


def _str(fields: Mapping[object, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _unreadable(name)
    return value


def _list(fields: Mapping[object, object], name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise _unreadable(name)
    return cast("list[object]", value)


def _unreadable(what: str) -> ToolslotError:
    return UnreadablePayload(
        f"a recorded error is damaged: {what} is missing or not what a record of an error holds."
    )
