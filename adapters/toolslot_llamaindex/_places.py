"""Where an event belongs: which call of which answer. It is part of the event, so that it is stored and read with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from llama_index.core.workflow import Event

_KEY = "toolslot_place"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A call of the run: the `index`th of the answer that the model gave as its `turn`th, both from 0."""

    turn: int
    index: int


def put(event: Event, place: Place) -> None:
    """Say what the event is about."""
    event[_KEY] = [place.turn, place.index]


def place_of(event: Event) -> Place | None:
    """What the event is about; None for one that no durable agent has sent."""
    found: object = event.get(_KEY)
    if isinstance(found, list) and len(cast("list[Any]", found)) == 2:
        turn, index = cast("list[Any]", found)
        if isinstance(turn, int) and isinstance(index, int):
            return Place(turn=turn, index=index)
    return None
