"""Which classes may be made again from stored data. A name from a journal only ever selects one of these; it never imports anything."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeAlias, cast, get_args, get_type_hints
from weakref import ref

from llama_index.core import Settings
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.tools import ToolOutput
from pydantic import AnyUrl, BaseModel

from toolslot import InvalidSetting, TypeCodec
from toolslot_llamaindex._exact import name_of

#: a class (a pydantic model, dataclass, enum, or a subclass of dict, list, str and the like), or how to store one
AllowedType: TypeAlias = "type | TypeCodec[Any]"

#: what LlamaIndex's own messages, blocks, nodes, answers and thoughts are made of
_LLAMA_INDEX = frozenset(
    {
        "llama_index.core.agent.react.types",
        "llama_index.core.base.llms.types",
        "llama_index.core.base.response.schema",
        "llama_index.core.llms.llm",
        "llama_index.core.schema",
        "llama_index.core.tools.types",
    }
)
_INTEGRATIONS = "llama_index.llms."
_NO_SDK = frozenset({"llama_index", "llama_index_instrumentation", "pydantic", "pydantic_core", "workflows"})
#: a model, the dict and the list in which it holds others, those others: three times
_DEEPEST = 9
_DERIVED = (dict, list, tuple, set, frozenset, str, bytes, int, float)


class KnownClasses:
    """LlamaIndex's own, those in `allowed`, and the pydantic models and enums of the SDKs that the live models of `llms` are built on.

    An SDK's models hold data and are made without a constructor; what it has of other classes is not to be had by a name.

    Raises:
        InvalidSetting: an item of `allowed` is of a kind that cannot be made again by its state.
    """

    def __init__(
        self, allowed: Iterable[AllowedType] = (), llms: Callable[[], Iterable[object]] = lambda: ()
    ) -> None:
        self.own: Mapping[type, TypeCodec[Any]] = dict(OWN)
        self._classes: dict[str, type[Any]] = {}
        self._llms = llms
        for item in allowed:
            if isinstance(item, TypeCodec):
                self.own = {**self.own, item.cls: item}
            _check(item)
            for cls in _with_its_fields(item.cls if isinstance(item, TypeCodec) else item):
                self._classes.setdefault(name_of(cls), cls)

    def serving(self, llms: Callable[[], Iterable[object]]) -> KnownClasses:
        """The same for an agent with these models."""
        new = KnownClasses(llms=llms)
        new.own, new._classes = self.own, self._classes
        return new

    def find(self, name: str) -> type[Any] | None:
        """The class of that name, if it may be made again."""
        found = self._classes.get(name)
        if found is not None:
            return found
        module, _, path = name.partition(":")
        if module in _LLAMA_INDEX:
            return _class_at(module, path, (BaseModel, Enum), dataclass=True)
        for llm in _all_models(self._llms()):
            if any(module == each or module.startswith(f"{each}.") for each in _packages_of(type(llm))):
                return _class_at(module, path, (BaseModel, Enum))
        return None


class Models:
    """The models of an agent and its copies, or of the agents of a workflow, as they are when they are asked for; and the default one."""

    def __init__(self) -> None:
        self._agents: tuple[ref[Any], ...] = ()

    def add(self, agent: Any) -> None:
        if all(each() is not agent for each in self._agents):
            self._agents = (*(each for each in self._agents if each() is not None), ref(agent))

    def __call__(self) -> list[object]:
        found: list[object] = [getattr(Settings, "_llm", None)]
        for agent in [each() for each in self._agents]:
            agents: Iterable[Any] = (agent, *getattr(agent, "agents", {}).values())
            found.extend(getattr(each, "llm", None) for each in agents)
        return found


def _check(item: object) -> None:
    if isinstance(item, TypeCodec):
        return
    if isinstance(item, type) and _may_be_allowed(item):
        return
    raise InvalidSetting(
        f"allowed_types: {item!r} is no pydantic model, dataclass or enum, so nothing here knows how to make it again. Give a"
        " TypeCodec(name=, cls=, dump=, load=) instead."
    )


def _may_be_allowed(cls: type) -> bool:
    return issubclass(cls, (BaseModel, Enum, *_DERIVED)) or dataclasses.is_dataclass(cast("Any", cls))


def _with_its_fields(cls: type[Any]) -> Iterable[type[Any]]:
    """The class, and those that its fields are said to hold: naming a receipt is enough for the items on it."""
    found: dict[type[Any], None] = {}
    left: list[object] = [cls]
    while left:
        hint = left.pop()
        left.extend(get_args(hint))
        if isinstance(hint, type) and hint not in found and _may_be_allowed(hint):
            found[hint] = None
            fields = getattr(cast("object", hint), "model_fields", None)
            if fields is not None:
                left.extend(field.annotation for field in fields.values())
            elif dataclasses.is_dataclass(hint):
                with suppress(Exception):  # of names that are there for type checkers alone
                    left.extend(get_type_hints(hint).values())
    return found


def _class_at(
    module: str, path: str, bases: tuple[type, ...], *, dataclass: bool = False
) -> type[Any] | None:
    """The class that lives there, in a module that is imported already, under its own name."""
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = vars(found).get(part) if isinstance(found, (type, ModuleType)) else None
    if not isinstance(found, type) or name_of(found) != f"{module}:{path}":
        return None
    cls: type[Any] = found
    fits = issubclass(cls, bases) or (dataclass and dataclasses.is_dataclass(cls))
    return cls if fits and not issubclass(cls, BaseLLM) else None


def _all_models(llms: Iterable[object]) -> Iterator[BaseLLM]:
    """These models and those that they hold, as routers do: by themselves, in a list or in a dict, and not too deep."""
    met: set[int] = set()
    level = list(llms)
    for _ in range(_DEEPEST):
        held: list[object] = []
        for each in level:
            if id(each) in met:
                continue
            met.add(id(each))
            if isinstance(each, BaseLLM):
                yield each
            held += _held_by(each)
        level = held


def _held_by(value: object) -> list[object]:
    if isinstance(value, BaseLLM):
        return [*vars(value).values(), *(value.__pydantic_private__ or {}).values()]
    if isinstance(value, dict):
        return list(cast("dict[object, object]", value).values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(cast("Iterable[object]", value))
    return []


@cache
def _packages_of(cls: type) -> frozenset[str]:
    """The integration that a model's class comes from, and the packages whose things its modules hold."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith(_INTEGRATIONS):
            root = ".".join(base.__module__.split(".")[:3])
            found |= {root, *_used_by(root)}
    return frozenset(found)


def _used_by(root: str) -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        if name == root or name.startswith(f"{root}."):
            for value in list(vars(module).values()):
                where = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
                package = _package_of(where)
                if package is not None:
                    yield package


def _module_of(value: object) -> str:
    return value.__module__ or "" if isinstance(value, (type, FunctionType)) else ""


def _package_of(module: str) -> str | None:
    """The package that the module is in: `google.genai` for `google.genai.types`, for nothing is in `google` itself."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] in _NO_SDK:
        return None
    for i in range(1, len(parts) + 1):
        name = ".".join(parts[:i])
        if getattr(sys.modules.get(name), "__file__", None) is not None:
            return name
    return None


# --- classes with a form of their own ---------------------------------------------------------------------------------------


def _dump_output(output: ToolOutput) -> object:
    return {
        "blocks": list(output.blocks),
        "tool_name": output.tool_name,
        "raw_input": dict(output.raw_input),
        "raw_output": output.raw_output,
        "is_error": output.is_error,
    }


def _load_output(data: Any) -> ToolOutput:
    return ToolOutput(**data)


def _load_ordered(data: Any) -> OrderedDict[Any, Any]:
    return OrderedDict(data)


_PATH: type[Path] = type(Path())
#: the classes themselves, and how each is written
OWN: dict[type, TypeCodec[Any]] = {
    each.cls: each
    for each in cast(
        "tuple[TypeCodec[Any], ...]",
        (
            TypeCodec(name="llama_index.ToolOutput", cls=ToolOutput, dump=_dump_output, load=_load_output),
            TypeCodec(name="url", cls=AnyUrl, dump=str, load=AnyUrl),
            TypeCodec(name="path", cls=_PATH, dump=str, load=_PATH),
            TypeCodec(name="bytesio", cls=io.BytesIO, dump=io.BytesIO.getvalue, load=io.BytesIO),
            TypeCodec(
                name="ordereddict",
                cls=OrderedDict,
                dump=lambda found: [list(pair) for pair in found.items()],
                load=_load_ordered,
            ),
        ),
    )
}
