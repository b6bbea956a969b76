"""What durability costs, as ratios measured in one run: `make bench`, or `python benchmarks/bench.py --help`.

Two ways of the same work take turns in one process; the ratio is that of their medians. Tools that do nothing are the worst case.
Journals and checkpoints are files in a temporary directory; the journal's durability is "power" (every record is on the disk before it
counts), LangGraph's is its default. Trust the ratios, and only those of a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import re
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cases import floor, graphs, imports, index_agents, peers, scale
from measure import Case, Options, Row, timed

CASES: dict[str, Case] = {
    "node": graphs.node,
    "send": graphs.send,
    "agent": graphs.agent,
    "barrier": graphs.barrier,
    "llamaindex": index_agents.agent,
    "plain": floor.plain,
    "journal": floor.journal,
    "replay": floor.replay,
    "parallel": floor.parallel,
    "import": imports.importing,
    "peers": peers.peers,
    "kill": peers.killed,
    "schedule": scale.schedule,
    "crowd": scale.crowd,
    "processes": scale.processes,
}
_HEAD = "| work | ms | against | ms | ratio | aim | runs |"
_PACKAGES = ("langgraph", "langchain", "llama-index-core", "diskcache", "dbos")


def line(row: Row) -> str:
    aim = "" if row.aim is None else f"{row.aim:g}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    ours, other = (
        f"{value:.1f}" if row.unit == "ms" else f"{value:g} {row.unit}" for value in (row.ours, row.other)
    )
    return f"| {row.work} | {ours} | {row.against} | {other} | {ratio} | {aim} | {row.runs} |"


def as_json(row: Row) -> dict[str, object]:
    return {
        name: getattr(row, name)
        for name in ("work", "ours", "against", "other", "unit", "ratio", "aim", "runs")
    }


def forced_write() -> float:
    """Milliseconds of one fsync of 4 KiB here: every commit waits for at least one."""
    with tempfile.TemporaryFile() as file:

        def write() -> None:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())

        return statistics.median(timed(write) for _ in range(50))


def machine() -> dict[str, object]:
    found: dict[str, object] = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "forced write of 4 KiB, ms": round(forced_write(), 3),
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def measured(names: list[str], options: Options) -> Iterator[Row]:
    for name in names:
        yield from CASES[name](options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all without any")
    parser.add_argument("--seconds", type=float, default=6.0, help="of measuring, for each row (default 6)")
    parser.add_argument("--full", action="store_true", help="with the rows that take minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument(
        "--profile", action="store_true", help="show where the time of each row's own work goes"
    )
    args = parser.parse_args()
    if unknown := [name for name in args.cases if name not in CASES]:
        parser.error(f"there is no case {unknown[0]!r}; there are {', '.join(CASES)}")
    logging.disable(logging.WARNING)  # of calls that run again, in the rows that kill
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), "", sep="\n")
    print(_HEAD, re.sub(r"[^|]+", " --- ", _HEAD), sep="\n", flush=True)
    rows: list[Row] = []
    for row in measured(
        args.cases or list(CASES), Options(seconds=args.seconds, full=args.full, profile=args.profile)
    ):
        rows.append(row)
        print(line(row), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps({"machine": about, "rows": [as_json(row) for row in rows]}, indent=2))
    over = [row.work for row in rows if row.aim is not None and row.ratio is not None and row.ratio > row.aim]
    print("", f"over the aim: {'; '.join(over) or 'nothing'}", sep="\n")


if __name__ == "__main__":
    sys.exit(main())
