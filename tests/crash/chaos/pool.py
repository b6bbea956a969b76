"""Many trials at once. The work is done by the processes that they start, all forked from the same few zygotes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

from crash.chaos.plan import Trial
from crash.chaos.trial import Outcome, run_trial


def run_one(trial: Trial) -> Outcome:
    """In a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="toolslot-chaos-", ignore_cleanup_errors=True) as folder:
        return run_trial(trial, Path(folder))


def run_many(trials: Iterable[Trial], workers: int) -> Iterator[Outcome]:
    """The outcomes as they come. Whoever stops listening waits for the trials that have begun, and begins no more."""
    todo, running = iter(trials), set[Future[Outcome]]()
    with ThreadPoolExecutor(workers, thread_name_prefix="chaos") as pool:
        while True:
            running |= {pool.submit(run_one, trial) for trial in islice(todo, workers - len(running))}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
