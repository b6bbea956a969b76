"""A process that opens a journal which may not exist yet, and records one batch in it.

    creating.py ROOT RUN [--gate FILE] [--stop-at N] [--key HEX]

With `--stop-at` it stops before the Nth thing that it does to a file of the journal, says so, and goes on once the gate is open. The
report: the error that opening raised, and how many steps there were.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from support.batches import reserve
from support.gate import pass_gate, say
from toolslot import Encryption, ToolslotError
from toolslot.journal import DiskJournal

#: of what Python tells of, what looks at files or changes them
_STEPS = {
    "open",
    "os.mkdir",
    "os.listdir",
    "os.scandir",
    "os.rename",
    "os.remove",
    "os.chmod",
    "sqlite3.connect",
}


def stop_at(root: str, number: int, gate: Path) -> itertools.count[int]:
    """Stop before the step of that number; counts them."""
    steps = itertools.count(1)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _STEPS and any(root in _text(arg) for arg in args[:2]) and next(steps) == number:
            pass_gate(gate)

    sys.addaudithook(hook)
    return steps


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else ""


def parse(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("run")
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--stop-at", type=int)
    parser.add_argument("--key", type=bytes.fromhex)
    return parser.parse_args(args)


def main(args: list[str]) -> None:
    options = parse(args)
    steps = itertools.count(1)
    if options.stop_at is not None:
        steps = stop_at(options.root, options.stop_at, options.gate)
    elif options.gate is not None:
        pass_gate(options.gate)
    error = None
    try:
        encryption = Encryption([options.key]) if options.key else None
        with DiskJournal.open(options.root, encryption=encryption) as journal:
            opened = next(steps) - 1
            reserve(journal, 1, run=options.run)
    except ToolslotError as raised:
        error, opened = f"{type(raised).__name__}: {raised}", next(steps) - 1
    say(json.dumps({"error": error, "steps": opened}))


if __name__ == "__main__":
    main(sys.argv[1:])
