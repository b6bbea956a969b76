"""The codec of what agents, tools, messages and states are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from toolslot import JsonCodec, NotStorable, UnreadablePayload
from toolslot_llamaindex._exact import Lost, NotRestorable, Reading, Writing, is_built_in, name_of
from toolslot_llamaindex._forms import MARK
from toolslot_llamaindex._known import AllowedType, KnownClasses

#: what begins a value that is not made of built-in values alone
_EXACT = b"k"
_PLAIN = JsonCodec()
#: so many values, of so many bytes each, are not looked through again when they come again as they were
_MOST_REMEMBERED = 1024
_LONGEST_REMEMBERED = 16 * 2**10


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A value as bytes, with the first object in it that will not be made again: where it is, of what class, and why not."""

    data: bytes
    problem: NotRestorable | None = None


class ValueCodec:
    """Stores built-in values as `JsonCodec` does, and every object by its own state; makes again those of the classes in `known`."""

    name = "llamaindex-values/2"

    def __init__(self, known: KnownClasses, *, strict: bool = True) -> None:
        self._known, self._strict = known, strict
        #: by the digest of a tree and the classes in it
        self._remembered: dict[tuple[bytes, tuple[type[Any], ...]], bytes] = {}

    @classmethod
    def of(cls, allowed: Iterable[AllowedType] = ()) -> ValueCodec:
        """For these classes besides LlamaIndex's own.

        Raises:
            InvalidSetting: an item is of a kind that cannot be made again.
        """
        return cls(KnownClasses(tuple(allowed)))

    def serving(self, llms: Callable[[], Iterable[object]]) -> ValueCodec:
        """The same for an agent with these models: what their SDKs put into messages comes back too."""
        return ValueCodec(self._known.serving(llms))

    @property
    def lenient(self) -> ValueCodec:
        """The same, but what cannot be made again as things are is kept as far as it goes, and refused only when it is read."""
        new = ValueCodec(self._known, strict=False)
        new._remembered = self._remembered
        return new

    def encode(self, value: object) -> bytes:
        """The bytes.

        Raises:
            NotStorable: something in the value could not be made again.
        """
        kept = self.keep(value)
        if self._strict and kept.problem is not None:
            raise NotStorable(f"a value cannot be stored: {kept.problem}")
        return kept.data

    def keep(self, value: object) -> Kept:
        """The bytes, with all that can be kept of the value, and what of it cannot be made again as things are.

        The state of an object of a class that is not allowed is kept: it comes back where the class is allowed.
        """
        if is_built_in(value):
            try:
                return Kept(data=_PLAIN.encode(value))
            except NotStorable:
                return self._nothing_of(value)
        for sound in (None, self._is_sound):  # the second time what is at fault is found, which takes longer
            writing = Writing(self._known.own, sound=sound)
            try:
                tree = writing.tree(value)
                data = self._sound_bytes(writing, tree)
                if data is not None:
                    return Kept(data=data, problem=self._problem(writing))
            except NotStorable:
                break
            except Exception:  # noqa: S112 - other people's objects may raise anything when they are looked at
                continue
        return self._nothing_of(value)

    def _sound_bytes(self, writing: Writing, tree: Any) -> bytes | None:
        """The bytes of a tree, if it is sound. Each turn of an agent writes all messages of those before it once more: their trees tell
        whether they are what they were.
        """
        text = repr(tree).encode("utf-8", "surrogatepass")
        asked = hashlib.sha256(text).digest(), tuple(writing.met.values())
        data = self._remembered.get(asked)
        if data is None and self._is_sound(writing, tree):
            data = _EXACT + _PLAIN.encode(tree)
            if len(data) <= _LONGEST_REMEMBERED:
                if len(self._remembered) >= _MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[asked] = data
        return data

    def _is_sound(self, writing: Writing, tree: Any) -> bool:
        """Whether what is made of the tree is written as the same tree again."""
        again = Reading(writing.met.get, self._known.own.values(), checking=True).value(tree)
        # Unlike `==`, the texts tell 1 from True, and NaN is like itself.
        return repr(Writing(self._known.own).tree(again)) == repr(tree)

    def remedy_for(self, value: object) -> str:
        """What a user can do so that such values are stored whole from then on."""
        problem = self.keep(value).problem
        if problem is None:
            return "Return a smaller value."
        what = "Name" if problem.kept else "Give a TypeCodec for"
        return f"{what} {problem.cls} in allowed_types=."

    def _problem(self, writing: Writing) -> NotRestorable | None:
        for at, name in writing.lost:
            return NotRestorable(at, name, kept=False)
        for name in writing.met:
            if self._known.find(name) is not writing.met[name]:
                return NotRestorable(writing.places[name], name, kept=True)
        return None

    def _nothing_of(self, value: object) -> Kept:
        writing = Writing({})
        tree = writing.tree(Lost(name_of(type(value))))
        return Kept(
            data=_EXACT + _PLAIN.encode(tree), problem=NotRestorable("", name_of(type(value)), kept=False)
        )

    def decode(self, data: bytes) -> Any:
        """The value, new at each call.

        Raises:
            NotRestorable: it holds an object of a class that may not be made again here.
            UnreadablePayload: it is damaged, or a class has changed.
        """
        if data[:1] != _EXACT:
            return _PLAIN.decode(data)
        tree = _PLAIN.decode(data[1:])
        try:
            return Reading(self._known.find, self._known.own.values()).value(tree)
        except UnreadablePayload:
            raise
        except Exception as error:
            raise UnreadablePayload(
                f"a stored value is damaged: making it again raised {type(error).__name__}."
            ) from None

    def digest(self, value: object) -> str:
        """SHA-256 over the value, 64 hex digits: the same in every process.

        Neither the order of a dict counts nor which fields of a model were set: a memory in a database loses that.
        """
        try:
            tree = _sorted(_without_set(Writing(self._known.own).tree(value)))
            data = _PLAIN.encode(tree)
        except Exception:
            data = self._nothing_of(value).data
        return hashlib.sha256(data).hexdigest()


def are_alike(a: bytes, b: bytes) -> bool:
    """Whether the encoded values are the same, but for which fields were set and which are defaults: a stored context loses that."""
    if a == b or a[:1] != _EXACT or b[:1] != _EXACT:
        return a == b
    return bool(_without_set(_PLAIN.decode(a[1:])) == _without_set(_PLAIN.decode(b[1:])))


def _without_set(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_without_set(item) for item in cast("list[Any]", tree)]
    if isinstance(tree, dict):
        items = cast("dict[str, Any]", tree).items()
        return {key: _without_set(item) for key, item in items if key != "s" or MARK not in tree}
    return tree


def _sorted(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_sorted(item) for item in cast("list[Any]", tree)]
    if isinstance(tree, dict):
        return {key: _sorted(item) for key, item in sorted(cast("dict[str, Any]", tree).items())}
    return tree
