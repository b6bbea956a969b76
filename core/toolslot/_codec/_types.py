"""How a reader says, in code, which classes beyond the built-in ones it stores and reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, Flag
from typing import Any, Generic, Protocol, TypeVar, cast

from typing_extensions import Self

from toolslot._codec._compare import difference
from toolslot._errors import InvalidSetting

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeCodec(Generic[T]):
    """Stores instances of exactly `cls` (subclasses need their own).

    Stored data names `name`, never something importable; which class that means is said here alone, so a name must go on meaning the
    same class for as long as data with it exists.

    Attributes:
        name: Unique within a codec.
        cls: The class itself.
        dump: Turns an instance into a value that the codec can write (which may hold instances of other registered classes).
        load: Turns what `dump` gave into an instance. It sees data that anybody who can write the journal could have made up: check it.
            What it raises means that the data is damaged.
        same: Whether the instance read back is the one written. Default: `dump` gives exactly the same for both.
    """

    name: str
    cls: type[T]
    dump: Callable[[T], object]
    load: Callable[[Any], T]
    same: Callable[[T, T], bool] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidSetting(
                f"TypeCodec(name='') for {self.cls!r}: the name is how stored data is found again, so it cannot be empty."
            )


def dataclass_type(cls: type[T], name: str | None = None) -> TypeCodec[T]:
    """Stores a dataclass by its fields. `name` defaults to the class's own name.

    Fields may hold whatever the codec can write. Reading calls the class with the fields that are parameters of its `__init__`; fields
    which it sets itself must come out the same, or the value is not stored.

    Raises:
        InvalidSetting: `cls` is not a dataclass.
    """
    if not (_is_class(cls, object) and dataclasses.is_dataclass(cls)):
        raise InvalidSetting(
            f"dataclass_type({cls!r}): that is not a dataclass. Write a TypeCodec(dump=, load=) for it."
        )
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    computed = {field.name for field in fields if not field.init}

    def dump(value: T) -> dict[str, object]:
        return {each: getattr(value, each) for each in names}

    def load(data: Any) -> T:
        given = _fields_of(data)
        return cls(**{each: given[each] for each in given if each not in computed})

    return TypeCodec(name=cls.__name__ if name is None else name, cls=cls, dump=dump, load=load)


def enum_type(cls: type[E], name: str | None = None) -> TypeCodec[E]:
    """Stores the members of an enum by name, those of a `Flag` by value. `name` defaults to the class's own name.

    Raises:
        InvalidSetting: `cls` is not an enum.
    """
    if not _is_class(cls, Enum):
        raise InvalidSetting(
            f"enum_type({cls!r}): that is not an enum. Write a TypeCodec(dump=, load=) for it."
        )

    def by_value(data: Any) -> E:
        if type(data) is not int:
            raise ValueError("a flag is stored as an int")
        return cls(data)

    def by_name(data: Any) -> E:
        return cls.__members__[data]

    own_name = cls.__name__ if name is None else name
    if issubclass(cls, Flag):
        return TypeCodec(
            name=own_name, cls=cls, dump=lambda member: member.value, load=by_value, same=_identical
        )
    return TypeCodec(name=own_name, cls=cls, dump=lambda member: member.name, load=by_name, same=_identical)


class Model(Protocol):
    """What `pydantic_type` needs of a class; every pydantic 2 model has it."""

    def model_dump(self, *, mode: str, by_alias: bool, round_trip: bool) -> Any:
        """The model's data."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """A model from data."""
        ...


M = TypeVar("M", bound=Model)


def pydantic_type(cls: type[M], name: str | None = None) -> TypeCodec[M]:
    """Stores a pydantic model by `model_dump(mode="json")`. `name` defaults to the class's own name.

    A model is stored only if every field, extra and private attribute comes back with the same type and value. Which fields were set
    and which are defaults is not kept.

    Raises:
        InvalidSetting: `cls` has no `model_dump` and `model_validate`.
    """
    if not (hasattr(cls, "model_dump") and hasattr(cls, "model_validate")):
        raise InvalidSetting(
            f"pydantic_type({cls!r}): that is not a pydantic model of version 2. Write a TypeCodec(dump=, load=) for it."
        )

    def dump(value: M) -> object:
        return value.model_dump(mode="json", by_alias=True, round_trip=True)

    def load(data: Any) -> M:
        return cls.model_validate(data)

    return TypeCodec(
        name=cls.__name__ if name is None else name, cls=cls, dump=dump, load=load, same=_same_model
    )


def _same_model(a: object, b: object) -> bool:
    return difference(_model_state(a), _model_state(b), _same_within_model) is None


def _same_within_model(a: object, b: object) -> bool:
    return _same_model(a, b) if _model_fields(a) is not None else bool(a == b)


def _model_fields(value: object) -> dict[str, object] | None:
    return cast("dict[str, object] | None", getattr(type(value), "model_fields", None))


def _model_state(value: object) -> dict[str, object]:
    """All that makes the model what it is; not `vars`, where cached properties may lie as well."""
    state = {f"field {each}": getattr(value, each) for each in _model_fields(value) or {}}
    for each in ("__pydantic_extra__", "__pydantic_private__"):
        state[each] = getattr(value, each, None)
    return state


def _identical(a: object, b: object) -> bool:
    return a is b


def _fields_of(data: object) -> dict[str, object]:
    if type(data) is not dict:
        raise ValueError("a dataclass is stored as a dict")
    return cast("dict[str, object]", data)


def _is_class(given: object, base: type) -> bool:
    """The type checkers know it already; people without one do not."""
    return isinstance(given, type) and issubclass(given, base)
