"""The built-in values that JSON has no word for: what stands for them in a tree, and how strictly that is read.

A tagged value is `{"$": tag, "v": ...}`. Each `load` accepts exactly what its `dump` writes and raises `ValueError` at anything else, so
that one value has one form; raising anything else would be as harmless.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sized
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar, cast
from uuid import UUID

from toolslot._codec._types import TypeCodec

T = TypeVar("T")
S = TypeVar("S", bound=Sized)

TAG, VALUE = "$", "v"

# Ints of more digits are written in hexadecimal: reading a decimal takes quadratic time, so interpreters limit the digits, some to 640.
MAX_DIGITS = 640
_FIRST_LONG_INT: int = 10**MAX_DIGITS


def is_plain_int(value: int) -> bool:
    """Whether every interpreter reads the int back from decimal digits."""
    return -_FIRST_LONG_INT < value < _FIRST_LONG_INT


def plain_int(digits: str) -> int:
    """An int from JSON text, refused when it is longer than this module writes."""
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError("an int has too many digits")
    return int(digits)


def _expect(value: object, cls: type[T]) -> T:
    if type(value) is not cls:
        raise ValueError(f"{cls.__name__} expected")
    return value


def _expect_list(value: object) -> list[Any]:
    return cast("list[Any]", _expect(value, list))


def _by_text(cls: type[T], dump: Callable[[T], str], parse: Callable[[str], T]) -> TypeCodec[T]:
    """For classes with a text form. Parsers are lenient (white space, other notations), so the text must be the one `dump` gives."""

    def load(data: Any) -> T:
        text = _expect(data, str)
        value = parse(text)
        if dump(value) != text:
            raise ValueError(f"not the usual form of {cls.__name__}")
        return value

    return TypeCodec(name=cls.__name__.lower(), cls=cls, dump=dump, load=load)


def _dump_moment(value: datetime | time) -> object:
    text = value.isoformat()
    return [text, 1] if value.fold else text


def _moment_loader(
    parse: Callable[[str], T], text_of: Callable[[T], str], with_fold: Callable[[T], T]
) -> Callable[[Any], T]:
    def load(data: Any) -> T:
        text, *fold = cast("list[object]", data) if isinstance(data, list) else (data,)
        value = parse(_expect(text, str))
        if text_of(value) != text or repr(fold) not in ("[]", "[1]"):
            raise ValueError("not the usual form of a date or time")
        return with_fold(value) if fold else value

    return load


def _dump_timedelta(value: timedelta) -> object:
    return [value.days, value.seconds, value.microseconds]


def _load_timedelta(data: Any) -> timedelta:
    days, seconds, microseconds = (_expect(part, int) for part in _expect_list(data))
    value = timedelta(days, seconds, microseconds)
    if _dump_timedelta(value) != data:
        raise ValueError("not the usual form of a timedelta")
    return value


def _dump_decimal(value: Decimal) -> str:
    return str(value).replace("e", "E")  # the thread's decimal context may ask for small letters


def _dump_bytes(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode("ascii")


def _load_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _dump_complex(value: complex) -> object:
    # repr, not float: the parts may be infinite or NaN
    return [repr(value.real), repr(value.imag)]


def _load_complex(data: Any) -> complex:
    real, imag = (float(_expect(part, str)) for part in _expect_list(data))
    value = complex(real, imag)
    if _dump_complex(value) != data:
        raise ValueError("not the usual form of a complex")
    return value


def _load_float(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        raise ValueError("a finite float is not tagged")
    return value


def _load_int(text: str) -> int:
    value = int(text, 16)
    if is_plain_int(value):
        raise ValueError("a short int is not tagged")
    return value


#: only infinities and NaN; finite floats are plain
FLOAT = _by_text(float, repr, _load_float)
#: only ints of more than `MAX_DIGITS` digits; others are plain
INT = _by_text(int, hex, _load_int)

_LEAVES: tuple[TypeCodec[Any], ...] = (
    TypeCodec(
        name="datetime",
        cls=datetime,
        dump=_dump_moment,
        load=_moment_loader(datetime.fromisoformat, datetime.isoformat, lambda value: value.replace(fold=1)),
    ),
    TypeCodec(
        name="time",
        cls=time,
        dump=_dump_moment,
        load=_moment_loader(time.fromisoformat, time.isoformat, lambda value: value.replace(fold=1)),
    ),
    _by_text(date, date.isoformat, date.fromisoformat),
    TypeCodec(name="timedelta", cls=timedelta, dump=_dump_timedelta, load=_load_timedelta),
    _by_text(Decimal, _dump_decimal, Decimal),
    _by_text(UUID, str, UUID),
    _by_text(bytes, _dump_bytes, _load_bytes),
    _by_text(bytearray, _dump_bytes, lambda text: bytearray(_load_bytes(text))),
    TypeCodec(name="complex", cls=complex, dump=_dump_complex, load=_load_complex),
)

#: the classes that always need a tag and hold no other values
LEAVES: dict[type, TypeCodec[Any]] = {leaf.cls: leaf for leaf in _LEAVES}


def _load_tuple(data: Any) -> tuple[object, ...]:
    return tuple(_expect_list(data))


def _load_set(data: Any) -> set[object]:
    return _all_there(set(_expect_list(data)), data)


def _load_frozenset(data: Any) -> frozenset[object]:
    return _all_there(frozenset(_expect_list(data)), data)


def _load_dict(data: Any) -> dict[object, object]:
    """A dict with keys other than str, or with a key that looks like a tag."""
    pairs = ((key, value) for key, value in map(_expect_list, _expect_list(data)))
    return _all_there(dict[object, object](pairs), data)


def _all_there(value: S, items: Sized) -> S:
    if len(value) != len(items):
        raise ValueError("an element or key is there twice")
    return value


#: every tag this version writes by itself, with what reads it
LOADERS: dict[str, Callable[[Any], object]] = {
    "tuple": _load_tuple,
    "set": _load_set,
    "frozenset": _load_frozenset,
    "dict": _load_dict,
    FLOAT.name: FLOAT.load,
    INT.name: INT.load,
    **{leaf.name: leaf.load for leaf in _LEAVES},
}
