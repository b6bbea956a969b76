"""Which classes may be made again from stored data because the saver of the run that is under way would make them too."""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, Final, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from toolslot_langgraph._compat import ANY_CLASS, allowed_by_saver

#: what the saver of the run in this context allows: names, or any class at all
_allowed: ContextVar[Collection[tuple[str, ...]] | bool] = ContextVar(
    "toolslot_langgraph_saver_types", default=()
)


@contextmanager
def saver_types(config: RunnableConfig) -> Generator[None]:
    """While a node of this config runs, outputs come back with the types that its saver would give them."""
    token = _allowed.set(allowed_by_saver(config))
    try:
        yield
    finally:
        _allowed.reset(token)


def made_by_saver(data: bytes) -> frozenset[tuple[str, str]]:
    """The classes that this msgpack names and the saver would make again.

    Of a saver that makes any class at all, as LangGraph's do by default, those alone that hold data and that this process has loaded: what
    a journal names is never imported, and no function is called but the class itself, its validators and `__post_init__` included.
    """
    allowed = _allowed.get()
    if not allowed:
        return frozenset()
    names = _named(data)
    if allowed is ANY_CLASS:
        return frozenset(name for name in names if _holds_data(*name))
    return names.intersection(cast("Collection[tuple[str, str]]", allowed))


def _named(data: bytes) -> frozenset[tuple[str, str]]:
    names: set[tuple[str, str]] = set()

    def look(code: int, part: bytes) -> object:
        parts: Any = serializer.loads_typed(("msgpack", part))
        if code in _OBJECTS:
            module, name, *_ = parts
            if isinstance(module, str) and isinstance(name, str):
                names.add((module, name))
        return None  # what is looked for is inside of it, and has been seen by now

    serializer = JsonPlusSerializer(
        pickle_fallback=False,
        allowed_json_modules=None,
        allowed_msgpack_modules=None,
        __unpack_ext_hook__=look,
    )
    try:
        serializer.loads_typed(("msgpack", data))
    except Exception:  # who decodes it says what is wrong with it
        return frozenset()
    return frozenset(names)


#: LangGraph's numbers for objects with their class beside their data
_OBJECTS: Final = range(6)


def _holds_data(module: str, name: str) -> bool:
    """Whether that is a class of this process whose objects are data: models, messages, dataclasses, enums, named tuples."""
    found: object = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if not isinstance(found, type) or (found.__module__, found.__name__) != (module, name):
        return False
    cls = cast("type[object]", found)
    if any(each is Runnable or each.__module__.startswith(_SETTINGS) for each in cls.__mro__):
        return False  # models, tools and the like act when they are made; settings read the environment
    named_tuple = "_fields" in vars(cls) and tuple in cls.__mro__
    return named_tuple or is_dataclass(cls) or issubclass(cls, (BaseModel, Enum))


_SETTINGS: Final = "pydantic_settings"
