"""Which journal a command works on. The only place that opens one."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from toolslot._text import shown
from toolslot._views import Insights
from toolslot.cli._ending import CannotRun
from toolslot.journal import DiskJournal, open_journal

_POSTGRES = ("postgres://", "postgresql://")


def opened(where: str | None, *, read_only: bool) -> DiskJournal:
    """The journal that `where` names: a directory. None is what TOOLSLOT_HOME says, else ./.toolslot.

    Raises:
        CannotRun: it is the address of a database; there is no journal for it.
        JournalError: there is no journal to be had there. Without `read_only` an empty place becomes one: read first.
    """
    return open_journal(directory(where), read_only=read_only)


def directory(where: str | None) -> str | None:
    """The directory that is named; None: the default one.

    Raises:
        CannotRun: the address of a database is named.
    """
    named = where if where is not None else os.environ.get("TOOLSLOT_HOME") or None
    if named is not None and named.lower().startswith(_POSTGRES):
        raise CannotRun(
            f"{_without_secrets(named)} is the address of a database, and a journal lies in a directory. Name the directory of a journal on"
            " disk."
        )
    return named


@contextmanager
def reading(where: str | None) -> Generator[Insights]:
    """The journal's read service. Nothing is created, no lock is taken, no agent is disturbed.

    Raises as `opened`.
    """
    with opened(where, read_only=True) as journal:
        yield Insights(journal)


def _without_secrets(dsn: str) -> str:
    """The DSN's host and database only: passwords also stand in its parameters."""
    try:
        parts = urlsplit(dsn)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{dsn.partition('://')[0]}://..."
    return shown(f"{parts.scheme}://{host}{port}{parts.path}")
