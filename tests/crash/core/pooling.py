"""A process whose tools run in a pool of processes; it is killed while one of these is inside a tool."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from support.harness import batch
from support.outliving import pay_in_a_process
from toolslot import DurableExecutor

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    args = {name: str(folder / name) for name in ("inside", "go_on", "effects")}
    with ProcessPoolExecutor(1) as pool:
        DurableExecutor(folder / "journal", hooks=[], executor=pool).run_all(
            batch("pay", args=args), {"pay": pay_in_a_process}
        )
