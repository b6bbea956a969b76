"""Others that record the results of calls, with the same 100 calls: LangGraph's `@task`, DBOS. Left out where they are not installed."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import peer
from measure import Options, Row, Work, compare

_NEEDS = {"LangGraph @task": "langgraph", "DBOS": "dbos"}


def others() -> list[str]:
    return [name for name, package in _NEEDS.items() if find_spec(package) is not None]


def peers(options: Options) -> Iterator[Row]:
    """100 calls that do nothing, and the resume of 100 recorded ones."""
    for name in others():
        with tempfile.TemporaryDirectory() as folder:
            ours = peer.PEERS["toolslot"](Path(folder), peer.nothing)
            other = peer.PEERS[name](Path(folder), peer.nothing)
            yield compare("arun_all, 100 no-op calls", _fresh(ours), name, _fresh(other), options)
            ours.run("recorded")
            other.run("recorded")
            again: Work = lambda ours=ours: ours.run("recorded")  # noqa: E731
            others_again: Work = lambda other=other: other.run("recorded")  # noqa: E731
            yield compare("resume of 100 recorded calls", again, name, others_again, options)
            other.close()
            ours.close()


def _fresh(peer: peer.Peer) -> Work:
    number = 0

    def run() -> None:
        nonlocal number
        number += 1
        peer.run(f"run-{number}")

    return run


def killed(options: Options) -> Iterator[Row]:
    """Killed when 60 of 100 calls have ended, 10 under way: how many that had ended ran again."""
    turns = 3
    ours = statistics.median(_repeated("toolslot") for _ in range(turns))
    for name in others():
        other = statistics.median(_repeated(name) for _ in range(turns))
        work = "killed after 60 of 100: ended calls that ran again"
        yield Row(work=work, ours=ours, against=name, other=other, runs=turns, unit="calls")


def _repeated(name: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "lines"
        lines.touch()
        with subprocess.Popen([sys.executable, peer.__file__, name, folder]) as child:
            while lines.read_text().count("end") < 60:
                if child.poll() is not None:
                    raise RuntimeError(f"{name} ended before it could be killed")
            child.kill()
        before = [line.split()[1] for line in lines.read_text().splitlines() if line.startswith("end")]
        told = len(lines.read_text().splitlines())
        subprocess.run([sys.executable, peer.__file__, name, folder], check=True, stdout=subprocess.DEVNULL)
        after = lines.read_text().splitlines()[told:]
        began = {line.split()[1] for line in after if line.startswith("begin")}
        return len(began & set(before))
