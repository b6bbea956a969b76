"""Any value as a tree of built-in values, and back: of each object its own state, so that it comes back as it was and no constructor runs.

What stands for anything else than None, bool, numbers, texts, bytes, dates, lists and dicts with text keys is a dict with the key `!`,
which says what it is, and `n`, the name of its class. A class is never imported by that name: `Known.find` says which class it means
here, if any.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, Flag
from typing import Any, Protocol, cast

from pydantic import BaseModel

from toolslot import NotStorable, TypeCodec, UnreadablePayload
from toolslot.hosting import PLAIN_TYPES, one_line, qualified_name
from toolslot_llamaindex._forms import (
    BASES,
    CONTAINERS,
    KINDS,
    MARK,
    WRITERS,
    Part,
    derived,
    derived_again,
    model_again,
    record,
    record_again,
    step,
)

_MAX_DEPTH = 60


class Known(Protocol):
    """Which classes may be made again."""

    @property
    def own(self) -> Mapping[type, TypeCodec[Any]]:
        """Classes with a way of their own to be written."""
        ...

    def find(self, name: str) -> type[Any] | None:
        """The class of that name (see `name_of`), if it may be made again here."""
        ...


class NotRestorable(UnreadablePayload):
    """A stored value holds an object that cannot be made again here: `where` it is, and of what `cls`. `kept`: its state is there."""

    def __init__(self, where: str, cls: str, *, kept: bool) -> None:
        self.where, self.cls, self.kept = (
            where.removeprefix(".") or "the value itself",
            cls.replace(":", "."),
            kept,
        )
        super().__init__(f"{self.where} is an instance of {self.cls}, {self.why} {self.remedy}")

    @property
    def why(self) -> str:
        if self.kept:
            return "which may not be made again here: nothing says that stored data may become one."
        return "of which nothing could be kept: nothing here knows how to write one."

    @property
    def remedy(self) -> str:
        if self.kept:
            return "Name its class in allowed_types=."
        if self.cls.startswith("builtins."):
            return "It is too large, nested too deeply, or contains itself: use a new run_id, after a look at what this run has done."
        return "Give a TypeCodec for it in allowed_types=; for this value, already lost, its load= is called with None."


class Lost:
    """Stands, while a tree is checked, where an object was that could not be kept."""

    def __init__(self, cls: str) -> None:
        self.cls = cls


def name_of(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def is_built_in(value: object, depth: int = _MAX_DEPTH) -> bool:
    """Whether the value is made of nothing but what every journal can hold."""
    cls = type(value)
    if cls in PLAIN_TYPES:
        return True
    if depth == 0:
        return False
    if cls is dict:
        parts: Iterable[object] = [
            part for pair in cast("dict[object, object]", value).items() for part in pair
        ]
    elif cls is list or cls is tuple or cls is set or cls is frozenset:
        parts = cast("Iterable[object]", value)
    else:
        return False
    return all(is_built_in(part, depth - 1) for part in parts)


def _is_json(value: object) -> bool:
    """Whether the value stands for itself in a tree, also where it is deep; what writes the tree has bounds of its own."""
    left = [(value, 2 * _MAX_DEPTH)]
    while left:
        each, depth = left.pop()
        inner: Iterable[object] = ()
        if type(each) is list:
            inner = cast("list[object]", each)
        elif type(each) is dict:
            found = cast("dict[object, object]", each)
            if MARK in found or any(type(key) is not str for key in found):
                return False
            inner = found.values()
        elif type(each) not in PLAIN_TYPES:
            return False
        if depth == 0:
            return False  # it may contain itself
        left.extend((item, depth - 1) for item in inner)
    return True


class Writing:
    """One walk over one value.

    Attributes:
        met: The classes that were found, by name.
        lost: Where something is that could not be kept, and its class.
    """

    def __init__(
        self, own: Mapping[type, TypeCodec[Any]], *, sound: Callable[[Writing, Any], bool] | None = None
    ) -> None:
        """`sound` is asked of each object's tree whether it comes back the same; one that does not is lost alone."""
        self._own, self._sound = own, sound
        self.met: dict[str, type[Any]] = {}
        #: where the first instance of each class is
        self.places: dict[str, str] = {}
        self.lost: list[tuple[str, str]] = []

    def tree(self, value: object, at: str = "", depth: int = _MAX_DEPTH) -> Any:
        """The tree.

        Raises:
            NotStorable: it is too deep, or holds itself.
        """
        cls: type[Any] = type(value)
        if cls in PLAIN_TYPES:
            return value
        if depth == 0:
            if _is_json(value):
                return value
            raise NotStorable(
                f"a value is nested deeper than {_MAX_DEPTH} levels, or contains itself. Give a flatter one."
            )

        def part(inner: object, name: str) -> Any:
            return self.tree(inner, at + name, depth - 1)

        if cls in WRITERS:
            return WRITERS[cls](value, part)
        if cls is Lost:
            return {MARK: "lost", "n": cast("Lost", value).cls}
        if self._sound is None:
            return self._object(value, at, part)
        try:
            tree = self._object(value, at, part)
            return tree if self._sound(self, tree) else self._losing(cls, at)
        except NotStorable:
            raise
        except Exception:  # other people's objects may raise anything when they are looked at
            return self._losing(cls, at)

    def _object(self, value: object, at: str, part: Part) -> Any:
        cls: type[Any] = type(value)
        own = self._own.get(cls)
        if own is not None:
            return self._by_its_codec(own, value, at, part)
        for base, write in KINDS:
            if issubclass(cls, base):
                return self._met(cls, at, write(value, part))
        if dataclasses.is_dataclass(cls) and not issubclass(cls, BASES):
            return self._met(cls, at, record(value, part))
        made = derived(value, part)
        if made is not None:
            return self._met(cls, at, made)
        return self._losing(cls, at)

    def _by_its_codec(self, own: TypeCodec[Any], value: object, at: str, part: Part) -> Any:
        try:
            dumped = own.dump(value)
        except Exception:  # a dump= is other people's code
            return self._losing(type(value), at)
        return {MARK: "own", "n": own.name, "v": part(dumped, "")}

    def _met(self, cls: type[Any], at: str, tree: dict[str, Any]) -> dict[str, Any]:
        name = name_of(cls)
        if self.met.setdefault(name, cls) is not cls:
            return self._losing(cls, at)  # another class of the same name
        self.places.setdefault(name, at)
        return {**tree, "n": name}

    def _losing(self, cls: type[Any], at: str) -> dict[str, Any]:
        name = one_line(name_of(cls), 500)
        self.lost.append((at, name))
        return {MARK: "lost", "n": name}


class Reading:
    """One walk over one tree."""

    def __init__(
        self,
        find: Callable[[str], type[Any] | None],
        own: Iterable[TypeCodec[Any]],
        *,
        checking: bool = False,
    ) -> None:
        self._find, self._checking = find, checking
        self._own = {each.name: each for each in own}

    def value(self, tree: Any, at: str = "") -> Any:
        """The value.

        Raises:
            NotRestorable: it holds an object of a class that may not be made again here.
            UnreadablePayload: a class has other fields now than it had.
        """
        if isinstance(tree, list):
            return [self.value(item, f"{at}[{i}]") for i, item in enumerate(cast("list[Any]", tree))]
        return self._of_dict(cast("dict[str, Any]", tree), at) if isinstance(tree, dict) else tree

    def _of_dict(self, tree: dict[str, Any], at: str) -> Any:
        if MARK not in tree:
            return {key: self.value(item, at + step(key)) for key, item in tree.items()}
        kind, inner = tree[MARK], tree.get("v")
        if kind in CONTAINERS:
            return CONTAINERS[kind](self.value(inner, at))
        if kind == "own":
            return self._by_its_codec(tree["n"], self.value(inner, at), at)
        if kind == "lost":
            return self._lost(tree["n"], at)
        found = self._find(tree["n"])
        if found is None:
            raise NotRestorable(at, str(tree["n"]), kept=True)
        return self._made(found, kind, tree, at)

    def _made(self, cls: type[Any], kind: str, tree: dict[str, Any], at: str) -> Any:
        inner = tree["v"]
        if kind == "enum" and issubclass(cls, Enum):
            return cls(inner) if issubclass(cls, Flag) else cls.__members__[inner]
        if kind == "model" and issubclass(cls, BaseModel):
            state = {key: self.value(item, f"{at}.{key}") for key, item in inner.items()}
            extra, private = self.value(tree["x"], at), self.value(tree["p"], at)
            return model_again(cls, state, set(tree["s"]), extra, private)
        if kind == "record" and dataclasses.is_dataclass(cls):
            return record_again(cls, {key: self.value(item, f"{at}.{key}") for key, item in inner.items()})
        if kind == "derived" and not issubclass(cls, (BaseModel, Enum)):
            return derived_again(cls, self.value(inner, at), self.value(tree["d"], at))
        raise UnreadablePayload(
            f"{at or 'the value itself'} was stored as a {one_line(kind, 20)}, and {qualified_name(cls)} is none now."
        )

    def _by_its_codec(self, name: str, data: object, at: str) -> object:
        codec = self._own.get(name)
        if codec is None:
            raise NotRestorable(at, name, kept=True)
        value: object = codec.load(data)
        if type(value) is not codec.cls:
            raise UnreadablePayload(
                f"the load= of the TypeCodec {codec.name!r} gave a {qualified_name(type(value))}."
            )
        return value

    def _lost(self, name: str, at: str) -> object:
        if self._checking:
            return Lost(name)
        codec = next((each for each in self._own.values() if name_of(each.cls) == name), None)
        if codec is None:
            raise NotRestorable(at, name, kept=False)
        try:
            return self._by_its_codec(codec.name, None, at)
        except Exception:  # a load= is other people's code, and may not take None
            raise NotRestorable(at, name, kept=False) from None
