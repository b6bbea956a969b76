"""The calls of a large batch at a glance: a thin line for each, in one path per state. Pure."""

from __future__ import annotations

from collections import defaultdict

from toolslot._domain._slot import SlotState
from toolslot._views.timeline._shapes import BarKind, Row

#: from so many calls on, a batch is shown at a glance as well
MANY = 60


def dense_paths(rows: tuple[Row, ...], width: float, height: float) -> dict[SlotState, str]:
    """By state, the path of an SVG of that size: one line per attempt, the rows below one another."""
    each = height / len(rows)
    paths: defaultdict[SlotState, list[str]] = defaultdict(list)
    for index, row in enumerate(rows):
        for bar in row.bars:
            if bar.kind is BarKind.RAN:
                length = max((bar.right - bar.left) * width, 1.0)
                paths[bar.state].append(f"M{bar.left * width:.1f} {(index + 0.5) * each:.2f}h{length:.1f}")
    return {state: "".join(parts) for state, parts in paths.items()}
