"""Tools with process-local state: one loads a file into memory, the other searches what was loaded, and hangs in its first life."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from support.gate import say
from support.ledger import Ledger
from toolslot import ToolPolicy
from toolslot._crashpoints import Trap, arm

_held: dict[str, str] = {}


class Loading:
    """The tools of one process, which notes what it runs."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        if args.crash:
            arm(Trap.parse(args.crash))

    def load(self, name: str) -> str:
        """Load a file."""
        self.ledger.note("load", name, self.args.life)
        _held[name] = f"what {name} says"
        return f"loaded {name}"

    def search(self, name: str) -> str:
        """Search a loaded file."""
        self.ledger.note("search", name, self.args.life)
        if self.args.life == 1:
            say("INSIDE")
            threading.Event().wait()
        return _held.get(name, "nothing was loaded")

    @property
    def settings(self) -> dict[str, Any]:
        policies = {
            "load": ToolPolicy(on_resume=self.args.on_resume, record=not self.args.unrecorded),
            "search": ToolPolicy(on_unknown="rerun"),
        }
        return {"journal": self.folder / "journal", "policies": policies}


def parsed(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--life", type=int, default=1)
    parser.add_argument("--on-resume", choices=["replay", "rerun"])
    parser.add_argument("--unrecorded", action="store_true", help="nothing of the load is recorded")
    parser.add_argument("--door", default="")
    parser.add_argument("--crash", help="a crash point, as for TOOLSLOT_CRASH_AT")
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    return parser.parse_args(argv)
