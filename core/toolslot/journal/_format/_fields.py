"""Reading stored JSON objects field by field, refusing whatever is not exactly as expected."""

from __future__ import annotations

import base64
from collections.abc import Callable
from enum import Enum
from math import isfinite
from typing import NoReturn, TypeVar, cast

from toolslot._errors import JournalCorrupt

T = TypeVar("T")
EnumT = TypeVar("EnumT", bound=Enum)

_MISSING: object = object()


class Fields:
    """One JSON object that is read field by field; `done` refuses it when a field was left over. What is read is taken out of the object.

    Raises `JournalCorrupt` from every method when the data is not what was asked for.
    """

    __slots__ = ("_data", "_what")

    def __init__(self, data: object, what: str) -> None:
        if type(data) is not dict:
            raise JournalCorrupt(f"a stored {what} is a {type(data).__name__}, not an object.")
        self._data = cast("dict[str, object]", data)
        self._what = what

    def has(self, name: str) -> bool:
        return name in self._data

    def take(self, name: str) -> object:
        value = self._data.pop(name, _MISSING)
        return self._missing(name) if value is _MISSING else value

    # These are what reading a batch spends its time in: one call each.

    def text(self, name: str) -> str:
        value = self._data.pop(name, _MISSING)
        return value if type(value) is str else self._refuse(name, value)

    def text_or_none(self, name: str) -> str | None:
        value = self._data.pop(name, _MISSING)
        return value if value is None or type(value) is str else self._refuse(name, value)

    def integer(self, name: str) -> int:
        value = self._data.pop(name, _MISSING)
        return value if type(value) is int else self._refuse(name, value)

    def number(self, name: str) -> float:
        value = self._data.pop(name, _MISSING)
        if type(value) is float:
            if not isfinite(value):
                raise JournalCorrupt(f"a stored {self._what} has a number as {name!r} that no clock gives.")
            return value
        return value if type(value) is int else self._refuse(name, value)

    def flag(self, name: str) -> bool:
        value = self._data.pop(name, _MISSING)
        return value if type(value) is bool else self._refuse(name, value)

    def items(self, name: str) -> list[object]:
        value = self.take(name)
        return list(cast("list[object]", value)) if type(value) is list else self._refuse(name, value)

    def member(self, name: str, kind: type[EnumT]) -> EnumT:
        value = self.take(name)
        try:
            return kind(value)
        except ValueError:
            raise JournalCorrupt(
                f"a stored {self._what} has {name}={value!r}, which this version of toolslot does not know."
            ) from None

    def data(self, name: str) -> bytes:
        value = self.text(name)
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise JournalCorrupt(f"a stored {self._what} has damaged base64 as {name!r}.") from None

    def data_or_none(self, name: str) -> bytes | None:
        if self._data.get(name, name) is None:
            del self._data[name]
            return None
        return self.data(name)

    def part(self, name: str, read: Callable[[object], T]) -> T:
        """A nested record, by its own reader; what that raises is told as corruption."""
        return self._read(name, self.take(name), read)

    def part_or_none(self, name: str, read: Callable[[object], T]) -> T | None:
        value = self.take(name)
        return None if value is None else self._read(name, value, read)

    def _read(self, name: str, value: object, read: Callable[[object], T]) -> T:
        try:
            return read(value)
        except (ValueError, TypeError, KeyError) as error:
            raise JournalCorrupt(f"the {name} of a stored {self._what} cannot be read: {error}") from error

    def done(self) -> None:
        if self._data:
            raise JournalCorrupt(
                f"a stored {self._what} has fields that this version of toolslot does not know: {sorted(self._data)}."
            )

    def _missing(self, name: str) -> NoReturn:
        raise JournalCorrupt(f"a stored {self._what} has no field {name!r}.")

    def _refuse(self, name: str, value: object) -> NoReturn:
        if value is _MISSING:
            self._missing(name)
        raise JournalCorrupt(f"a stored {self._what} has a {type(value).__name__} as {name!r}.")
