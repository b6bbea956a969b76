"""The form in which each kind of object is written, and how it is made again from that, without its constructor."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterable
from enum import Enum, Flag
from types import MemberDescriptorType
from typing import Any, TypeAlias, cast

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from toolslot import UnreadablePayload
from toolslot.hosting import one_line, qualified_name

#: says of a dict that it stands for an object, and of what kind
MARK = "!"

#: writes what is inside an object, given the rest of its path
Part: TypeAlias = Callable[[object, str], Any]

#: the built-in classes that other classes are derived from
BASES: tuple[type[Any], ...] = (dict, list, tuple, set, frozenset, str, bytes, int, float)
#: of a class: that it was made by a `class` statement, so that its state is all in sight
_HEAP_TYPE = 1 << 9


def _list(value: list[object], part: Part) -> Any:
    return [part(item, f"[{i}]") for i, item in enumerate(value)]


def _dict(value: dict[object, object], part: Part) -> Any:
    if MARK not in value and all(type(key) is str for key in value):
        return {key: part(item, step(key)) for key, item in value.items()}
    return {
        MARK: "dict",
        "v": [[part(key, "[a key]"), part(item, step(key))] for key, item in value.items()],
    }


def _tuple(value: tuple[object, ...], part: Part) -> Any:
    return {MARK: "tuple", "v": _list(list(value), part)}


def _set(value: set[object] | frozenset[object], part: Part) -> Any:
    # In an order of their own: a set has another one in every process.
    return {MARK: type(value).__name__, "v": sorted((part(item, "[an item]") for item in value), key=repr)}


def _enum(value: Enum, _: Part) -> dict[str, Any]:
    return {MARK: "enum", "v": value.value if isinstance(value, Flag) else value.name}


def _model(value: BaseModel, part: Part) -> dict[str, Any]:
    held = vars(value)
    extra, private = value.__pydantic_extra__, value.__pydantic_private__
    return {
        MARK: "model",
        "v": {name: part(held[name], f".{name}") for name in type(value).model_fields if name in held},
        # What was set and what is a default: clients send the one and leave out the other.
        "s": sorted(value.model_fields_set),
        "x": None if extra is None else part(dict(extra), ""),
        "p": None if private is None else part(dict(private), ""),
    }


def record(value: Any, part: Part) -> dict[str, Any]:
    state = {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if hasattr(value, field.name)
    }
    state |= getattr(value, "__dict__", {})
    return {MARK: "record", "v": {name: part(inner, f".{name}") for name, inner in state.items()}}


def derived(value: Any, part: Part) -> dict[str, Any] | None:
    """Of a class made from a built-in one; None where its state is not all in sight."""
    cls = cast("type[Any]", type(value))
    base: Any = next((each for each in BASES if issubclass(cls, each)), None)
    if base is None or not cls.__flags__ & _HEAP_TYPE or _has_slots(cls):
        return None
    plain: object = base(_items_of(base, value)) if base in _MANY else base.__getnewargs__(value)[0]
    return {MARK: "derived", "v": part(plain, ""), "d": part(dict(getattr(value, "__dict__", {})), "")}


def _items_of(base: Any, value: Any) -> Any:
    return getattr(base, "items" if base is dict else "__iter__")(value)


def model_again(
    cls: type[BaseModel], state: dict[str, Any], given: set[str], extra: Any, private: Any
) -> BaseModel:
    fields = cls.model_fields
    _check_names(cls, state, fields)
    for name, field in fields.items():
        if name not in state:
            _add_default(state, name, field.default, field.default_factory, PydanticUndefined)
    _check_names(cls, fields, state)
    new = object.__new__(cls)
    for name, value in (
        ("__dict__", state),
        ("__pydantic_fields_set__", given),
        ("__pydantic_extra__", extra),
        ("__pydantic_private__", private),
    ):
        object.__setattr__(new, name, value)
    return new


def record_again(cls: type[Any], state: dict[str, Any]) -> Any:
    for field in dataclasses.fields(cls):
        if field.name not in state:
            _add_default(state, field.name, field.default, field.default_factory, dataclasses.MISSING)
    _check_names(cls, [field.name for field in dataclasses.fields(cls)], state)
    new = object.__new__(cls)
    for name, value in state.items():
        attribute: object = inspect.getattr_static(cls, name, None)
        # What a property shows is stored under another name; its code is not run.
        if isinstance(attribute, MemberDescriptorType) or not hasattr(attribute, "__set__"):
            object.__setattr__(new, name, value)
    return new


def derived_again(cls: type[Any], plain: Any, state: Any) -> Any:
    base = cast("Any", next(each for each in BASES if issubclass(cls, each)))
    if type(plain) is not base:
        raise UnreadablePayload(f"stored data of {qualified_name(cls)} is no {base.__name__}.")
    fill = _FILL.get(base)
    make = cast("Callable[..., Any]", base.__new__)
    new = make(cls) if fill else make(cls, plain)
    if fill:
        getattr(base, fill)(new, plain)
    if state:
        new.__dict__.update(state)
    return new


def _add_default(state: dict[str, Any], name: str, default: object, make: Any, missing: object) -> None:
    """The value of a field that the class did not have when the instance was stored, unless a function would have to make it."""
    if make is dict or make is list or make is set:
        state[name] = make()
    elif default is not missing:
        # One of its own: a list that is a default is shared otherwise.
        state[name] = copy.deepcopy(default) if type(default) in (dict, list, set) else default


def _check_names(cls: type, names: Iterable[str], known: Iterable[str]) -> None:
    strange = sorted(set(names) - set(known))
    if strange:
        raise UnreadablePayload(
            f"{qualified_name(cls)} has other fields now than when an instance of it was stored: {one_line(', '.join(strange), 200)}."
            " Resume with the version of that package which the run was begun with."
        )


def _has_slots(cls: type) -> bool:
    return any(vars(each).get("__slots__") for each in cls.__mro__ if each not in BASES)


def step(key: object) -> str:
    """A key in a path: names are shown, anything that may be data is not."""
    return f".{key}" if type(key) is str and key.isidentifier() and len(key) <= 40 else "[...]"


_MANY = frozenset({dict, list, tuple, set, frozenset})
_FILL: dict[type, str] = {dict: "update", list: "extend", set: "update"}
#: containers
WRITERS: dict[type, Callable[[Any, Part], Any]] = {
    list: _list,
    dict: _dict,
    tuple: _tuple,
    set: _set,
    frozenset: _set,
}
#: and those that have a mark, read again
CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "dict": dict,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}
#: objects, by what they are derived from
KINDS: tuple[tuple[type, Callable[[Any, Part], dict[str, Any]]], ...] = (
    (Enum, _enum),
    (BaseModel, _model),
)
