"""What importing costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from measure import Options, Row

#: what is imported, by the name of its row
_OURS = {
    "import toolslot": "import toolslot",
    "what a program imports": "from toolslot import DiskJournal, DurableExecutor, ToolPolicy",
}


def importing(options: Options) -> Iterator[Row]:
    """Against `import asyncio`, each in new processes, in turns; the start of Python itself is not counted.

    A name of `toolslot` is imported when it is first asked for, so the import alone says little: the second row is what a program pays.
    """
    found: dict[str, list[float]] = {code: [] for code in (*_OURS.values(), "import asyncio")}
    runs = max(9, int(options.seconds * 4))
    for _ in range(runs + 1):
        for statement, times in found.items():
            code = (
                f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1e3)"
            )
            times.append(float(subprocess.check_output([sys.executable, "-c", code])))
    asyncio = statistics.median(found["import asyncio"][1:])
    for work, statement in _OURS.items():
        ours = statistics.median(found[statement][1:])
        yield Row(work=work, ours=ours, against="import asyncio", other=asyncio, runs=runs, aim=2.0)
