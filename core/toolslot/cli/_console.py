"""Where a command's text goes, and what states look like on it. Texts of others are shown through here, never as markup."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolslot._domain._slot import SlotState
from toolslot._text import shown
from toolslot._views import LETTERS, BatchStatus, date_text, time_text

#: columns where the output is no terminal: nothing is cut or wrapped that another program may read
UNBOUNDED = 10_000
#: a figure that is drawn to the width of the screen, where there is no screen
_DRAWN = 100

#: every state has its letter too, so it reads the same without colours
STATE_STYLES: Mapping[SlotState, str] = MappingProxyType(
    {
        SlotState.RESERVED: "dim",
        SlotState.RUNNING: "blue",
        SlotState.WAITING: "cyan",
        SlotState.SUCCEEDED: "green",
        SlotState.FAILED: "red",
        SlotState.UNKNOWN: "bold magenta",
    }
)
BATCH_STYLES: Mapping[BatchStatus, str] = MappingProxyType(
    {
        BatchStatus.RUNNING: "blue",
        BatchStatus.INTERRUPTED: "yellow",
        BatchStatus.UNKNOWN: "bold magenta",
        BatchStatus.FINISHED: "green",
        BatchStatus.CLOSED: "green",
    }
)


def make_console() -> Console:
    """Standard output: as wide as the terminal, or without an end where it is none. NO_COLOR is honoured."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # a name must not end the command where the encoding lacks it
        reconfigure(errors="backslashreplace")
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = UNBOUNDED
    return console


def drawing_width(console: Console) -> int:
    """For figures: the width of the terminal, or some width where there is none."""
    return console.width if console.is_terminal else _DRAWN


def say(console: Console, *parts: str | tuple[str, str]) -> None:
    """One line of parts, each with its style; the terminal breaks it, so that it can be copied whole."""
    console.print(Text.assemble(*parts), soft_wrap=True)


def name(text: str, style: str = "", *, limit: int = 200) -> Text:
    """A text of a model, a user or a file, made safe."""
    return Text(shown(text, limit), style=style, overflow="fold")


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table without lines. Columns of figures are never wrapped."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        figures = column in right
        made.add_column(column, justify="right" if figures else "left", no_wrap=figures, overflow="fold")
    return made


def letter(state: SlotState) -> Text:
    """The state's letter in its colour."""
    return Text(LETTERS[state], style=STATE_STYLES[state])


def counted(counts: Mapping[SlotState, int]) -> Text:
    """How many calls are in each state: 3S 1U."""
    parts = [
        (f"{counts[state]}{LETTERS[state]}", STATE_STYLES[state]) for state in SlotState if counts.get(state)
    ]
    return Text(" ").join(Text(word, style=style) for word, style in parts)


def moment_text(at: float) -> str:
    """Day and time in UTC, to the second."""
    return f"{date_text(at)} {time_text(at).partition('.')[0]}"
