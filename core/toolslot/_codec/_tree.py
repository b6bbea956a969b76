"""From a value to the JSON tree that stands for it. The tree holds only what JSON has; everything else is tagged (see `_tags`)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from toolslot._codec._tags import FLOAT, INT, LEAVES, TAG, VALUE, is_plain_int
from toolslot._codec._text import qualified_name
from toolslot._codec._types import TypeCodec
from toolslot._errors import NotStorable

MAX_DEPTH = 200
MAX_BYTES = 64 * 1024 * 1024

#: registered classes are tagged with this and their name, so that they never meet a built-in tag
REGISTERED = "x:"

# Not ASCII alone: an escaped pair of lone surrogates would be read back as one character.
compact = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
ordered = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), sort_keys=True
).encode


class Tree:
    """One walk over one value. `tree` may be called once.

    Depth counts the levels of the JSON text, where a tuple or set takes two and a dict with other keys than str three. With `canonical`
    the tree is for comparing and not for reading back: a tuple is a list, and the pairs of a dict are sorted.
    """

    __slots__ = ("_bytes_left", "_canonical", "_levels_left", "_path", "_settings", "_types")

    def __init__(
        self,
        types: Mapping[type, TypeCodec[Any]],
        *,
        max_depth: int = MAX_DEPTH,
        max_bytes: int = MAX_BYTES,
        canonical: bool = False,
    ) -> None:
        self._types = types
        self._canonical = canonical
        self._settings = (max_depth, max_bytes)
        self._levels_left = max_depth
        self._bytes_left = max_bytes
        self._path: list[tuple[str, int]] = []

    def tree(self, value: object) -> object:
        """The tree.

        Raises:
            NotStorable: a class is not known, or the value is too deep or too large. What a registered `dump` raises comes out as it is
                only if it is no `Exception`.
        """
        cls = type(value)
        self._spend(2)
        write = _WRITERS.get(cls)
        if write is not None:
            return write(self, value)
        leaf = LEAVES.get(cls)
        if leaf is not None:
            return self._leaf(leaf, value)
        registered = self._types.get(cls)
        if registered is not None:
            return self._registered(registered, value)
        raise self._refusal(cls, _advice(cls))

    # --- one method for each class in `_WRITERS` --------------------------------------------------------------------------

    def atom(self, value: object) -> object:
        return value

    def text(self, value: str) -> object:
        self._spend(len(value))
        return value

    def integer(self, value: int) -> object:
        return value if is_plain_int(value) else self._leaf(INT, value)

    def number(self, value: float) -> object:
        return value if math.isfinite(value) else self._leaf(FLOAT, value)

    def items_of_list(self, value: list[object]) -> object:
        return self._items(value, 1, "item")

    def items_of_tuple(self, value: tuple[object, ...]) -> object:
        items = self._items(value, 2, "item")
        return items if self._canonical else {TAG: "tuple", VALUE: items}

    def items_of_set(self, value: set[object]) -> object:
        return {TAG: "set", VALUE: sorted(self._items(value, 2, "item"), key=ordered)}

    def items_of_frozenset(self, value: frozenset[object]) -> object:
        return {TAG: "frozenset", VALUE: sorted(self._items(value, 2, "item"), key=ordered)}

    def items_of_dict(self, value: dict[object, object]) -> object:
        if TAG not in value and all(type(key) is str for key in value):
            for key in value:
                self._spend(len(str(key)))
            return dict(zip(value, self._items(value.values(), 1, "value"), strict=True))
        return {TAG: "dict", VALUE: self._pairs(value)}

    # --- their parts ----------------------------------------------------------------------------------------------------

    def _leaf(self, leaf: TypeCodec[Any], value: object) -> object:
        self._enter(2)
        self._levels_left += 2
        try:
            return {TAG: leaf.name, VALUE: leaf.dump(value)}
        except Exception as error:  # a time zone class of the user's, for example
            raise self._refusal(type(value), f"writing it raised {type(error).__name__}") from None

    def _pairs(self, value: dict[object, object]) -> list[object]:
        keys = self._items(value, 3, "key")
        pairs: list[object] = [
            list(pair) for pair in zip(keys, self._items(value.values(), 3, "value"), strict=True)
        ]
        return sorted(pairs, key=ordered) if self._canonical else pairs

    def _registered(self, codec: TypeCodec[Any], value: object) -> object:
        try:
            dumped = codec.dump(value)
        except Exception as error:
            raise self._refusal(
                type(value), f"the dump= of its TypeCodec raised {type(error).__name__}"
            ) from None
        (inner,) = self._items((dumped,), 1, f"dump of {codec.name}, part")
        return {TAG: REGISTERED + codec.name, VALUE: inner}

    def _items(self, items: Iterable[object], levels: int, kind: str) -> list[object]:
        self._enter(levels)
        path, tree, trees = self._path, self.tree, list[object]()
        path.append((kind, 0))
        for i, item in enumerate(items):
            path[-1] = (kind, i)
            trees.append(tree(item))
        path.pop()
        self._levels_left += levels
        return trees

    def _enter(self, levels: int) -> None:
        self._levels_left -= levels
        if self._levels_left < 0:
            raise NotStorable(
                f"a value cannot be stored: it is nested deeper than {self._settings[0]} levels, or contains itself."
                f" Return a flatter value, or allow more with JsonCodec(max_depth=)."
            )

    def _spend(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise too_large(self._settings[1])

    def _refusal(self, cls: type, why: str) -> NotStorable:
        # Positions, not keys: keys are data and may be secret.
        where = " > ".join(f"{kind} {i}" for kind, i in self._path) or "the value itself"
        return NotStorable(f"a value of type {qualified_name(cls)} ({where}) cannot be stored: {why}.")


def too_large(max_bytes: int) -> NotStorable:
    return NotStorable(
        f"a value cannot be stored: it takes more than {max_bytes} bytes. Return less (a path or an id instead of the contents), or allow"
        " more with JsonCodec(max_bytes=)."
    )


def _advice(cls: type) -> str:
    base = next((each for each in cls.__mro__ if each in _WRITERS or each in LEAVES), None)
    register = "register the class with JsonCodec(types=[...]): dataclass_type, enum_type, pydantic_type or a TypeCodec"
    if base is not None and base is not cls:
        return f"it would come back as {base.__name__}. Convert it, or {register}"
    return f"nothing says how. Return plain data, or {register}"


_WRITERS: dict[type, Callable[[Tree, Any], object]] = {
    type(None): Tree.atom,
    bool: Tree.atom,
    str: Tree.text,
    int: Tree.integer,
    float: Tree.number,
    list: Tree.items_of_list,
    tuple: Tree.items_of_tuple,
    set: Tree.items_of_set,
    frozenset: Tree.items_of_frozenset,
    dict: Tree.items_of_dict,
}

#: the classes whose form is fixed: another cannot be registered
BUILT_IN = frozenset({*_WRITERS, *LEAVES})
