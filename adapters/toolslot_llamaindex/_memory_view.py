"""The agent's memory, as a running call has it: what the call puts there counts for that call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, cast

from llama_index.core.memory import BaseMemory, Memory

_AHEAD = ("aput", "aput_messages", "aset", "areset")
#: those of a `Memory` go through the ones above
_AT_ONCE = ("put", "put_messages", "set", "reset")
_SHARED = ("__dict__", "__pydantic_private__", "__pydantic_extra__", "__pydantic_fields_set__")

Change: TypeAlias = Callable[[], Awaitable[Any]]
ChangeNow: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """The memory itself, and what makes a change in it and notes whose it is."""

    memory: BaseMemory
    change: Callable[[Change], Awaitable[Any]]
    change_now: Callable[[ChangeNow], Any]


def view_of(watched: Watched) -> Any:
    """The memory with all that it has, of a class derived from its own; a memory whose class cannot be derived from is given itself."""
    memory = watched.memory
    try:
        cls = _viewing(type(memory))
    except Exception:  # other people's classes
        return memory
    view = object.__new__(cls)
    for name in _SHARED:  # the very same, so that whatever either sets the other has
        object.__setattr__(view, name, getattr(memory, name))
    object.__setattr__(view, "_toolslot_watched", watched)
    return view


def itself(value: Any) -> Any:
    """Of a view the memory, all else as it is."""
    watched = _watched(value)
    return value if watched is None else watched.memory


def _watched(value: object) -> Watched | None:
    """None also for a copy of a view: that is a memory of its own."""
    found: object = getattr(value, "_toolslot_watched", None)
    return found if isinstance(found, Watched) else None


@cache
def _viewing(cls: type[BaseMemory]) -> type[BaseMemory]:
    names: dict[str, Any] = {
        "__slots__": ("_toolslot_watched",),
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
    }
    names |= {name: _ahead(cls, name) for name in _AHEAD if hasattr(cls, name)}
    if not issubclass(cls, Memory):
        names |= {name: _at_once(cls, name) for name in _AT_ONCE if hasattr(cls, name)}
    metaclass: Any = type(cls)
    return cast("type[BaseMemory]", metaclass(cls.__name__, (cls,), names))


def _ahead(cls: type[BaseMemory], name: str) -> Callable[..., Awaitable[Any]]:
    async def changing(self: Any, *args: Any, **kwargs: Any) -> Any:
        watched, own = _watched(self), getattr(cls, name)
        if watched is None:
            return await own(self, *args, **kwargs)
        return await watched.change(lambda: own(self, *args, **kwargs))

    return changing


def _at_once(cls: type[BaseMemory], name: str) -> Callable[..., Any]:
    def changing(self: Any, *args: Any, **kwargs: Any) -> Any:
        watched, own = _watched(self), getattr(cls, name)
        if watched is None:
            return own(self, *args, **kwargs)
        return watched.change_now(lambda: own(self, *args, **kwargs))

    return changing
