"""What functions and objects hold, read without running any code of theirs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, cast

from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

DATA = (str, bytes, bytearray, int, float, complex, type(None))
COLLECTIONS = (dict, list, tuple, set, frozenset)

#: a collection with more items than this is data, not a register of agents
_MOST_ITEMS = 1000
#: how many attributes may stand in a row: `self.team.agents` are two
_MOST_DOTS = 4
#: the globals and attributes of their code are their own affair; what users gave them is in closures
_FRAMEWORKS = frozenset(
    {"langchain", "langchain_core", "langgraph", "langsmith", "pydantic", "toolslot", "toolslot_langgraph"}
)


def is_data(thing: object) -> bool:
    """Whether nothing can be inside."""
    return issubclass(type(thing), DATA)


def items_of(collection: object) -> list[tuple[str, object]]:
    """What is in a collection, under its key if that is a text. By its builtin type: the iterators of a subclass may do anything."""
    kind = _kind(collection)
    if kind is None or kind.__len__(collection) > _MOST_ITEMS:
        return []
    if "items" not in vars(kind):
        return [("", item) for item in kind.__iter__(collection)]
    entries: list[tuple[object, object]] = [*kind.items(collection)]
    return [(key if isinstance(key, str) else "", value) for key, value in entries]


def _kind(collection: object) -> Any:
    # By its type, here and below: isinstance() also asks the object itself, and a proxy may answer with an exception.
    return next((kind for kind in COLLECTIONS if issubclass(type(collection), kind)), None)


def named_by(function: FunctionType | MethodType) -> list[object]:
    """What a function's code can lay hands on: closure, defaults, globals it names, and attributes of all these that it names."""
    values: list[object] = [function.__self__] if isinstance(function, MethodType) else []
    names = names_of(function)
    for layer in _layers(function):
        if not isinstance(layer, FunctionType):
            values.append(layer)
            continue
        values += [*(layer.__defaults__ or ()), *(layer.__kwdefaults__ or {}).values()]
        values += [cell.cell_contents for cell in layer.__closure__ or () if _is_bound(cell)]
        if not _is_framework(layer.__module__):
            values += [
                layer.__globals__[name] for name in names_in(layer.__code__) if name in layer.__globals__
            ]
    return values + _attributes(values, names)


def names_of(function: object) -> frozenset[str]:
    """The globals and attributes that a function's code names, the functions it wraps and those inside it included."""
    layers = [layer for layer in _layers(function) if isinstance(layer, FunctionType)]
    return frozenset[str]().union(*(names_in(layer.__code__) for layer in layers))


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> frozenset[str]:
    """The globals and attributes that code names, inner functions included."""
    inner = [names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return frozenset(code.co_names).union(*inner)


def mentions(thing: object, words: frozenset[str]) -> bool:
    """Whether it is a function of the user's whose code has one of the words, as a name or as a text of its own."""
    layers = [layer for layer in _layers(thing) if isinstance(layer, FunctionType)]
    return any(
        not _is_framework(layer.__module__)
        and not words.isdisjoint(names_in(layer.__code__) | texts_in(layer.__code__))
        for layer in layers
    )


@lru_cache(maxsize=4096)
def texts_in(code: CodeType) -> frozenset[str]:
    """The texts that stand in code, keys of mappings and of arguments included; inner functions too."""
    found: set[str] = set()
    waiting: list[object] = [*code.co_consts]
    while waiting:
        constant = waiting.pop()
        if isinstance(constant, str):
            found.add(constant)
        elif isinstance(constant, CodeType):
            found |= texts_in(constant)
        elif isinstance(constant, (tuple, frozenset)):
            waiting.extend(cast("Iterable[object]", constant))
    return frozenset(found)


def _layers(function: object) -> list[object]:
    """A function, and those it is wrapped around as decorators note it."""
    layers: list[object] = []
    while function is not None and len(layers) < _MOST_ITEMS:
        plain: object = function.__func__ if isinstance(function, MethodType) else function
        layers.append(plain)
        function = vars(plain).get("__wrapped__") if isinstance(plain, FunctionType) else None
    return layers


def _is_bound(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a name that has no value yet
        return False
    return True


def _attributes(owners: Sequence[object], names: Iterable[str]) -> list[object]:
    """The named attributes of modules and plain objects, and of what is found that way, a few in a row."""
    found: dict[int, object] = {}
    for _ in range(_MOST_DOTS):
        members = [item for owner in owners for _, item in items_of(owner)]
        opened = [owner for owner in (*owners, *members) if _has_own_attributes(owner)]
        values = [
            value for owner in opened for name in names if (value := attribute(owner, name)) is not None
        ]
        owners = [value for value in values if id(value) not in found]
        found.update((id(value), value) for value in owners)
    return [*found.values()]


def _has_own_attributes(thing: object) -> bool:
    """Whether `thing` is looked into by name. What `_steps` looks into whole is not."""
    kind = type(thing)
    if issubclass(kind, ModuleType):
        return not _is_framework(cast("ModuleType", thing).__name__)
    if issubclass(kind, type):
        return not _is_framework(cast("type", thing).__module__)
    return not issubclass(kind, (*DATA, *COLLECTIONS, Pregel, ToolNode, FunctionType, MethodType))


def attribute(thing: object, name: str) -> object:
    """An attribute as it lies there: a method bound, of a property its function; no code of the object's is run. None if there is none."""
    is_class, is_module = issubclass(type(thing), type), issubclass(type(thing), ModuleType)
    kinds = cast("type", thing).__mro__ if is_class else type(thing).__mro__
    found: object = next((vars(kind)[name] for kind in kinds if name in vars(kind)), None)
    if type(found) is MemberDescriptorType:
        try:
            return cast("object", cast("Any", found).__get__(thing))
        except (AttributeError, TypeError):
            return None  # a slot that is empty, or looked up on the class
    if type(found) is property:
        found = found.fget
    elif not is_class:
        found = own_attributes(thing).get(name, found)
    if issubclass(type(found), cached_property):
        found = cast("cached_property[object]", found).func
    elif issubclass(type(found), (staticmethod, classmethod)):
        found = cast("Any", found).__func__
    if type(found) is FunctionType and not is_class and not is_module:
        return MethodType(cast("FunctionType", found), thing)
    return None if is_data(found) else found


def own_attributes(thing: object) -> dict[str, object]:
    """The attributes that lie in an object itself."""
    try:
        own: object = object.__getattribute__(thing, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return cast("dict[str, object]", own) if isinstance(own, dict) else {}


def _is_framework(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return top in _FRAMEWORKS or (top in sys.stdlib_module_names and top != "__main__")
