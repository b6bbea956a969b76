"""Frozen records that cost less to make: reading a batch and running a call make them by the hundred."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar, cast

T = TypeVar("T")


def quick_init(cls: type[T]) -> type[T]:
    """Give a class made by `@dataclass(frozen=True, kw_only=True, slots=True)` an `__init__` that costs two thirds of its own.

    The dataclass's has `object.__setattr__` look up every slot by its name, each time; this one writes into the slots themselves. All else
    stays. `default_factory`, `init=False` and `InitVar` are not for such records.

    Raises:
        TypeError: the class has fields of these kinds, or no slots.
    """
    names = [field.name for field in fields(cast("Any", cls))]
    known: dict[str, Any] = {}
    parameters: list[str] = []
    for field in fields(cast("Any", cls)):
        setter = getattr(getattr(cls, field.name, None), "__set__", None)
        if setter is None or not field.init or field.default_factory is not MISSING:
            raise TypeError(f"{cls.__name__}.{field.name} is no plain field of a class with slots.")
        known[f"_set_{field.name}"] = setter
        if field.default is not MISSING:
            known[f"_default_{field.name}"] = field.default
        default = "" if field.default is MISSING else f"=_default_{field.name}"
        parameters.append(f"{field.name}{default}")
    steps = [f"_set_{name}(self, {name})" for name in names]
    if hasattr(cls, "__post_init__"):
        steps.append("self.__post_init__()")
    # As `dataclass` makes its own. The names are those of the fields, which are code and never data.
    exec(f"def __init__(self, *, {', '.join(parameters)}):\n " + "\n ".join(steps), known)  # noqa: S102
    init = cast("Callable[..., None]", known["__init__"])
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = dict(cls.__init__.__annotations__)
    type.__setattr__(cls, "__init__", init)
    return cls
