"""`toolslot.show`: a run, looked at from a notebook or a prompt."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext

from toolslot._batch._batch_run import BatchRun
from toolslot._domain._port import Journal
from toolslot._errors import ToolslotError
from toolslot._text import quoted
from toolslot._views import BatchView, Insights, RunView
from toolslot._views.timeline._notebook import Shown
from toolslot.journal import open_journal

#: named in the error about a run that is not there
_NAMED = 5


def show(
    run: str | BatchRun | RunView | BatchView,
    journal: str | os.PathLike[str] | Journal | None = None,
    *,
    reveal: bool = False,
) -> Shown:
    """The run's timeline: a figure in a notebook, text at a prompt; `.save(path)` writes it as a page.

    A journal given by its path is opened read-only, beside agents at work, and closed again. The answer shows the moment at
    which it was read.

    Args:
        run: A run id, or a `BatchRun`, of whose run all batches are shown.
        journal: A path, an address, a `Journal`, or None: that of the `BatchRun`, else the environment variable `TOOLSLOT_HOME`, else
            `./.toolslot`.
        reveal: With arguments, results and messages of errors. They may hold secrets, and notebooks are passed on.

    Raises:
        ToolslotError: the journal does not hold the run.
        JournalError: the journal cannot be read.
    """
    if isinstance(run, RunView):
        return Shown(run)
    if isinstance(run, BatchView):
        return Shown(RunView(run_id=run.run_id, batches=(run,)))
    if isinstance(run, BatchRun):
        journal = journal if journal is not None else run.journal
        run = run.run_id
    with _opened(journal) as opened:
        insights = Insights(opened)
        view = insights.run(run, reveal=reveal)
        if view is not None:
            return Shown(view)
        names = ", ".join(quoted(name, 60) for name in insights.run_ids()[:_NAMED])
        raise ToolslotError(
            f"the journal {insights.location} holds no run {quoted(run)}."
            + (f" Its newest runs are {names}." if names else " It holds no run at all.")
            + " Give the right run id, or the journal of the run with journal=."
        )


def _opened(journal: str | os.PathLike[str] | Journal | None) -> closing[Journal] | nullcontext[Journal]:
    if journal is None or isinstance(journal, (str, os.PathLike)):
        return closing(open_journal(journal, read_only=True))
    return nullcontext(journal)
