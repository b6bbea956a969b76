"""Which journal a command works on. The only place that opens one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager

from toolslot._views import Insights
from toolslot.journal import Journal, open_journal


def opened(where: str | None, *, read_only: bool) -> closing[Journal]:
    """The journal that `where` names: a directory or an address. None is what TOOLSLOT_HOME says, else ./.toolslot.

    Raises:
        InvalidSetting: it is an address, and no installed package opens such.
        JournalError: there is no journal to be had there. Without `read_only` an empty place becomes one: read first.
    """
    return closing(open_journal(where, read_only=read_only))


@contextmanager
def reading(where: str | None) -> Generator[Insights]:
    """The journal's read service. Nothing is created, no lock is taken, no agent is disturbed.

    Raises as `opened`.
    """
    with opened(where, read_only=True) as journal:
        yield Insights(journal)
