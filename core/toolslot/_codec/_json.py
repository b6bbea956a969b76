"""The codec of results and arguments: plain text, bytes and JSON as they are, everything else as tagged JSON.

The first byte says what follows: `n` nothing (None), `s` UTF-8 text (lone surrogates allowed), `b` bytes, `j` JSON without tags, `t` JSON
with tags.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toolslot._codec._compare import difference
from toolslot._codec._nesting import MAX_WEIGHT, nesting_exceeds, weight_exceeds
from toolslot._codec._plain import is_plain
from toolslot._codec._registered import by_class, checked_load
from toolslot._codec._tags import LOADERS, TAG, VALUE, plain_int
from toolslot._codec._text import one_line, qualified_name
from toolslot._codec._tree import MAX_BYTES, MAX_DEPTH, REGISTERED, Tree, compact, too_large
from toolslot._codec._types import TypeCodec
from toolslot._errors import InvalidSetting, NotStorable, UnreadablePayload


class JsonCodec:
    """Stores None, bool, int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset, complex, Decimal, UUID, date, time, datetime
    and timedelta exactly, and the classes in `types`; refuses everything else, subclasses of these included.

    Of an aware datetime or time the wall clock time and the offset are kept; a named zone comes back as its fixed offset.

    Attributes:
        types: What to do with further classes. To read data of a class it must be registered here too, under the same name.
        max_bytes: Of the encoded value, in both directions. Default 64 MiB.
        max_depth: Levels of nesting of the JSON text, in both directions. Default 200.

    Raises:
        InvalidSetting: a limit below 1, or two entries in `types` for one class or name, or one for a built-in class.
    """

    NAME = "tagged-json/1"

    __slots__ = ("_loaders", "_max_bytes", "_max_depth", "_max_weight", "_plain", "_tagged", "_types")

    def __init__(
        self, types: Sequence[TypeCodec[Any]] = (), *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
    ) -> None:
        for name, limit in (("max_bytes", max_bytes), ("max_depth", max_depth)):
            if type(limit) is not int or limit < 1:
                raise InvalidSetting(f"JsonCodec({name}={limit!r}): it must be an int of at least 1.")
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._max_weight = max(max_bytes * MAX_WEIGHT // MAX_BYTES, MAX_WEIGHT)
        self._types = by_class(types)
        self._loaders = {**LOADERS, **{REGISTERED + each.name: checked_load(each) for each in types}}
        self._plain = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=plain_int).decode
        self._tagged = json.JSONDecoder(
            parse_constant=_refuse_constant, parse_int=plain_int, object_hook=self._untag
        ).decode

    @property
    def name(self) -> str:
        """The format. The same for all `types`: data of a class that the reader lacks is refused when it is met."""
        return self.NAME

    def __repr__(self) -> str:
        return f"<JsonCodec {self.NAME} types={[each.name for each in self._types.values()]}>"

    # --- writing --------------------------------------------------------------------------------------------------------

    def encode(self, value: object) -> bytes:
        """The value as bytes. The same value gives the same bytes in every process; dicts keep their order.

        Raises:
            NotStorable: the value, or one inside it, cannot be stored so that it comes back the same.
        """
        try:
            data = self._encode(value)
        except NotStorable:
            raise
        except RecursionError:
            raise NotStorable(
                "a value cannot be stored: there is too little of the stack left to walk through it. Store it from a place that is less"
                " deep in calls, or return a flatter value."
            ) from None
        except Exception as error:
            # A list that another thread changes meanwhile, a class whose metaclass misbehaves, memory that has run out.
            raise NotStorable(
                f"a value of type {qualified_name(type(value))} cannot be stored: walking through it raised {type(error).__name__}."
            ) from None
        if len(data) > self._max_bytes:
            raise too_large(self._max_bytes)
        if data[:1] in _PARSED and weight_exceeds(data, self._max_weight):
            raise NotStorable(
                "a value cannot be stored: it has millions of parts. Return less (a path or an id instead of the contents), or allow more"
                " with JsonCodec(max_bytes=)."
            )
        return data

    def _encode(self, value: object) -> bytes:
        if type(value) is str:
            if len(value) >= self._max_bytes:
                raise too_large(self._max_bytes)
            return b"s" + value.encode("utf-8", "surrogatepass")
        if value is None:
            return b"n"
        if type(value) is bytes:
            if len(value) >= self._max_bytes:
                raise too_large(self._max_bytes)
            return b"b" + value
        if is_plain(value, max_depth=self._max_depth, max_bytes=self._max_bytes):
            # Made only of what JSON reads back exactly, so there is nothing to compare.
            return b"j" + compact(value).encode("utf-8", "surrogatepass")
        return self._encode_tagged(value)

    def _encode_tagged(self, value: object) -> bytes:
        tree = Tree(self._types, max_depth=self._max_depth, max_bytes=self._max_bytes).tree(value)
        data = b"t" + compact(tree).encode("utf-8", "surrogatepass")
        if len(data) > self._max_bytes:
            raise too_large(self._max_bytes)
        try:
            again = self.decode(data)
        except UnreadablePayload as error:
            raise NotStorable(
                f"a value of type {qualified_name(type(value))} cannot be stored: it could not be read back. {error}"
            ) from None
        where = difference(value, again, self._same_registered)
        if where is not None:
            raise NotStorable(
                f"a value of type {qualified_name(type(value))} cannot be stored: read back it would not be the same"
                f" ({where.removeprefix(' > ') or 'the value itself'}). Check dump= and load= of the TypeCodec of what is there, or return"
                " plain data."
            )
        return data

    def _same_registered(self, a: object, b: object) -> bool:
        codec = self._types[type(a)]
        if codec.same is not None:
            return codec.same(a, b)
        return difference(codec.dump(a), codec.dump(b), self._same_registered) is None

    # --- reading --------------------------------------------------------------------------------------------------------

    def decode(self, data: bytes) -> object:
        """The value, new at each call. No code runs but that of the built-in and the registered classes.

        Raises:
            UnreadablePayload: damaged, larger or deeper than allowed, or of a class that is not registered.
        """
        try:
            return self._decode(data)
        except UnreadablePayload:
            raise
        except RecursionError:
            raise UnreadablePayload(
                "a stored value could not be read: there is too little of the stack left. Read it from a place that is less deep in calls."
            ) from None
        except Exception as error:
            # Neither the message nor the cause is passed on: they quote the data.
            raise UnreadablePayload(
                f"a stored value is damaged: reading it as {self.NAME} raised {type(error).__name__}."
            ) from None

    def _decode(self, data: bytes) -> object:
        if len(data) > self._max_bytes:
            raise UnreadablePayload(
                f"a stored value takes {len(data)} bytes, more than the {self._max_bytes} allowed. Read it with a larger"
                " JsonCodec(max_bytes=)."
            )
        kind, body = data[:1], data[1:]
        if kind == b"s":
            return body.decode("utf-8", "surrogatepass")
        if kind == b"b":
            return body
        if data == b"n":
            return None
        parse = {b"j": self._plain, b"t": self._tagged}[kind]
        if nesting_exceeds(body, self._max_depth):
            raise UnreadablePayload(
                f"a stored value is nested deeper than the {self._max_depth} levels allowed. If it is no attempt to do harm, read it with"
                " a larger JsonCodec(max_depth=)."
            )
        if weight_exceeds(body, self._max_weight):
            raise UnreadablePayload(
                "a stored value has more parts than are allowed. If it is no attempt to do harm, read it with a larger"
                " JsonCodec(max_bytes=)."
            )
        return parse(body.decode("utf-8", "surrogatepass"))

    def _untag(self, found: dict[str, Any]) -> object:
        """Called for each JSON object, innermost first."""
        if TAG not in found:
            return found
        tag = found[TAG]
        if len(found) != 2 or VALUE not in found or type(tag) is not str:
            raise UnreadablePayload(
                "a stored value is damaged: something in it has a tag but not the form of a tagged value."
            )
        load = self._loaders.get(tag)
        if load is not None:
            return load(found[VALUE])
        shown = repr(one_line(tag.removeprefix(REGISTERED), 60))
        raise UnreadablePayload(
            f"a stored value holds an instance of {shown}, which this reader does not know. Read it with"
            f" JsonCodec(types=[...]) where that name is registered; a class is never looked up by what the data says."
        )


#: kinds whose bytes are JSON
_PARSED = (b"j", b"t")


def _refuse_constant(_: str) -> object:
    raise ValueError("NaN and Infinity are not JSON")
