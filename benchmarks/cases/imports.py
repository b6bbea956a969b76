"""What importing costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from measure import Options, Row


def importing(options: Options) -> Iterator[Row]:
    """`import toolslot` against `import asyncio`, each in new processes, in turns; the start of Python itself is not counted."""
    found: dict[str, list[float]] = {"toolslot": [], "asyncio": []}
    runs = max(9, int(options.seconds * 4))
    for _ in range(runs + 1):
        for name, times in found.items():
            code = (
                f"import time; t = time.perf_counter(); import {name}; print((time.perf_counter() - t) * 1e3)"
            )
            times.append(float(subprocess.check_output([sys.executable, "-c", code])))
    ours, other = (statistics.median(times[1:]) for times in found.values())
    yield Row(work="import toolslot", ours=ours, against="import asyncio", other=other, runs=runs, aim=2.0)
