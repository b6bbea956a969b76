"""Checks that say what they saw, and tests that run once per case: what the contract uses instead of pytest."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

_TestT = TypeVar("_TestT", bound=Callable[..., object])

_CASES = "_toolslot_cases"
_short = reprlib.Repr()
_short.maxother = _short.maxstring = 300  # a payload of some MiB must not fill the screen


def same(got: object, expected: object, what: str = "value") -> None:
    """Fail unless both are equal, and of one type where they are bytes, text or numbers."""
    if got != expected:
        raise AssertionError(f"{what}: expected {_short.repr(expected)}, got {_short.repr(got)}")


def holds(condition: bool, what: str) -> None:
    """Fail with `what` unless the condition holds."""
    if not condition:
        raise AssertionError(what)


@contextmanager
def raises(*expected: type[Exception]) -> Generator[None, None, None]:
    """Fail unless the block raises one of these."""
    names = " or ".join(error.__name__ for error in expected)
    try:
        yield
    except expected:
        return
    except Exception as error:
        raise AssertionError(f"expected {names}, got {type(error).__name__}: {error}") from error
    raise AssertionError(f"expected {names}, but nothing was raised")


class Metafunc(Protocol):
    """The part of `pytest.Metafunc` that is used."""

    function: Callable[..., object]

    def parametrize(self, argnames: str, argvalues: Sequence[object], *, ids: Sequence[str]) -> None: ...


def cases(argument: str, values: Mapping[str, object]) -> Callable[[_TestT], _TestT]:
    """Run the test once for every value, which it gets as `argument`; the keys name the cases."""

    def mark(test: _TestT) -> _TestT:
        test.__dict__[_CASES] = (argument, values)
        return test

    return mark


def generate(metafunc: Metafunc) -> None:
    """What `pytest_generate_tests` does about `cases`."""
    found = metafunc.function.__dict__.get(_CASES)
    if found is not None:
        argument, values = found
        metafunc.parametrize(argument, list(values.values()), ids=list(values))
