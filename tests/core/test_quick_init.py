"""Records that are made by the hundred behave as the dataclasses they are."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from toolslot._quick_init import quick_init


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    """As dataclass makes it."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()


@quick_init
@dataclass(frozen=True, kw_only=True, slots=True)
class Quick:
    """The same."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()


@quick_init
@dataclass(frozen=True, kw_only=True, slots=True)
class Checked(Quick):
    d: float = 0.0

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError(f"a={self.a}")


def test_it_takes_the_same_arguments_and_keeps_them() -> None:
    assert inspect.signature(Quick) == inspect.signature(Plain)
    for arguments in ({"a": 1}, {"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": (1, 2)}):
        assert asdict(Quick(**arguments)) == asdict(Plain(**arguments))  # type: ignore[arg-type]


def test_equality_hash_repr_and_replace_are_the_dataclasses_own() -> None:
    one = Quick(a=1, c=(2,))
    assert one == Quick(a=1, c=(2,))
    assert one != Quick(a=2, c=(2,))
    assert hash(one) == hash(Quick(a=1, c=(2,)))
    assert repr(one) == "Quick(a=1, b='b', c=(2,))"
    assert replace(one, b="x") == Quick(a=1, b="x", c=(2,))
    assert [item.name for item in fields(Quick)] == ["a", "b", "c"]


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Quick(a=1).a = 2  # type: ignore[misc]
    assert not hasattr(Quick(a=1), "__dict__")


@pytest.mark.parametrize("arguments", [{}, {"b": "x"}, {"a": 1, "z": 2}], ids=str)
def test_missing_and_unknown_arguments_are_refused(arguments: Any) -> None:
    with pytest.raises(TypeError, match="__init__"):
        Quick(**arguments)


def test_a_subclass_has_the_fields_of_both_and_its_check_runs() -> None:
    assert Checked(a=1, d=2.5) == Checked(a=1, b="b", c=(), d=2.5)
    with pytest.raises(ValueError, match="a=-1"):
        Checked(a=-1)


def test_fields_that_it_cannot_make_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Made\.made"):

        @quick_init
        @dataclass(frozen=True, kw_only=True, slots=True)
        class Made:
            made: list[int] = field(default_factory=list)

    with pytest.raises(TypeError, match=r"Loose\.loose"):

        @quick_init
        @dataclass(frozen=True, kw_only=True)
        class Loose:
            loose: int
