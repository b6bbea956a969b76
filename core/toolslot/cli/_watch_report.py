"""What is shown of the batches that are watched: a table for a terminal, a line for each change elsewhere. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, MutableMapping, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from toolslot._domain._slot import SlotState
from toolslot._text import shown
from toolslot._views import BatchView, span_text
from toolslot.cli._console import BATCH_STYLES, counted, name, table

_SETTLED = (SlotState.SUCCEEDED, SlotState.FAILED)


def settled(batch: BatchView) -> int:
    """How many of its calls have an outcome."""
    return sum(call.state in _SETTLED for call in batch.calls)


def picture(batches: Sequence[BatchView], location: str) -> RenderableType:
    """A bar of progress for each batch."""
    if not batches:
        return Text(f"nothing runs in {shown(location)}", style="dim")
    rows = table("run", "batch", "state", "calls", "", "progress", "since", right=("since",))
    for batch in batches:
        rows.add_row(
            name(batch.run_id, limit=40),
            name(batch.batch_id, "dim", limit=24),
            name(batch.state.value, BATCH_STYLES[batch.state]),
            f"{settled(batch)}/{len(batch.calls)}",
            counted(Counter(call.state for call in batch.calls)),
            ProgressBar(total=max(len(batch.calls), 1), completed=settled(batch), width=16),
            span_text(max(batch.ended_at - batch.created, 0.0)),
        )
    return Group(rows)


def changes(batches: Sequence[BatchView], told: MutableMapping[tuple[str, str], str]) -> Iterator[str]:
    """A line for each batch that is not as it was told before; `told` keeps what was."""
    for batch in batches:
        counts = counted(Counter(call.state for call in batch.calls)).plain
        text = (
            f"run {shown(batch.run_id)} batch {shown(batch.batch_id)}: {batch.state.value},"
            f" {settled(batch)} of {len(batch.calls)} calls settled ({counts})"
        )
        if told.get(batch.key) != text:
            told[batch.key] = text
            yield text
