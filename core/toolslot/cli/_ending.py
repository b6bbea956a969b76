"""How the command ends: its exit codes, and what it says when something stands in the way."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum
from typing import IO, Any

import click
from typing_extensions import override

from toolslot._errors import (
    BatchBusy,
    BatchClosed,
    DecisionRefused,
    EffectUnsettled,
    Fenced,
    RunPurged,
    ToolslotError,
)


class Exit(IntEnum):
    """What the exit code says. The same table is in docs/operating.md."""

    OK = 0
    #: something is damaged, missing or refused
    PROBLEM = 1
    #: everything was read, and a person has to decide something
    NEEDS_DECISION = 2
    #: the command could not do its work at all: a wrong option, no journal, a missing package
    CANNOT_RUN = 3
    #: Ctrl-C, as shells report it
    INTERRUPTED = 130


#: the journal was read and says no; every other error means that there was nothing to be had
_REFUSALS = (BatchBusy, BatchClosed, DecisionRefused, EffectUnsettled, Fenced, RunPurged)


class CannotRun(click.ClickException):
    """Says why on standard error, without a traceback."""

    exit_code = Exit.CANNOT_RUN


class WrongUsage(CannotRun):
    """What click says of a wrong option. Its own exit code is 2, which here means that a person has to decide."""

    def __init__(self, error: click.UsageError) -> None:
        super().__init__(error.message)
        self._error = error

    @override
    def show(self, file: IO[Any] | None = None) -> None:
        self._error.show(file)


class Refused(click.ClickException):
    """As `CannotRun`, for what was understood and is not done."""

    exit_code = Exit.PROBLEM


@contextmanager
def ending() -> Generator[None]:
    """Every error of the command gets its message and its exit code here, in one place."""
    try:
        yield
    except click.UsageError as error:
        raise WrongUsage(error) from error
    except click.FileError as error:
        raise CannotRun(error.format_message()) from error
    except _REFUSALS as error:
        raise Refused(str(error)) from error
    except ToolslotError as error:
        raise CannotRun(str(error)) from error
