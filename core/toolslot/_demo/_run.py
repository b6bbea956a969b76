"""The whole demo: both sides at the same time, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from toolslot._demo._frameworks import Framework
from toolslot._demo._judge import judge
from toolslot._demo._processes import Agents, Deadline
from toolslot._demo._side import OnStep, Side, SideRun


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoReport:
    """Both sides, and what the ledger holds against the promise. `seconds` is what the demo took."""

    framework: Framework
    plain: SideRun
    durable: SideRun
    problems: tuple[str, ...]
    seconds: float


def missing_packages(framework: Framework) -> tuple[str, ...]:
    """What has to be installed before the demo can run. Looks them up without importing them."""
    return tuple(name for name in framework.needed if not _installed(name))


def run_demo(folder: Path, *, framework: Framework, seconds: float, on_step: OnStep) -> DemoReport:
    """Run both sides in sub-folders of `folder`, which must exist, within `seconds`.

    `on_step` is called from both sides' threads. Raises `DemoFailed` when it cannot be shown. However it
    ends, no process is left.
    """
    deadline = Deadline(seconds)
    with ThreadPoolExecutor(max_workers=2) as pool, Agents() as agents:
        sides: list[Side] = []
        for name in ("plain", "durable"):
            (folder / name).mkdir()
            sides.append(Side(name, folder / name, framework, agents, deadline, on_step))
        running = [pool.submit(side.run) for side in sides]
        plain, durable = _results(running)
    return DemoReport(
        framework=framework,
        plain=plain,
        durable=durable,
        problems=judge(durable.report),
        seconds=deadline.spent,
    )


def _results(running: Sequence[Future[SideRun]]) -> list[SideRun]:
    """All results, or the error of whichever failed first, at once: the other side need not be waited for."""
    while True:
        # In short slices: on Windows, Ctrl-C does not interrupt a wait without an end.
        done, pending = wait(running, timeout=0.2, return_when=FIRST_EXCEPTION)
        for side in done:
            side.result()
        if not pending:
            return [side.result() for side in running]


def _installed(name: str) -> bool:
    import importlib.metadata  # takes longer to load than the rest of the command

    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
