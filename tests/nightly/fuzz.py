"""Coverage-guided fuzzing of every decoder: `python tests/nightly/fuzz.py SECONDS [FOLDER]`.

Ends with 0 and one line of figures when whatever was tried gave a value or a `ToolslotError` within the limits of time and memory; else
with what failed, which lies in FOLDER. FOLDER also keeps what was found interesting, to begin with the next time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: for one input
_SECONDS = 10
_MEBIBYTES = 2048
_LONGEST = 16 * 1024


def main() -> int:
    if os.environ.get("TOOLSLOT_FUZZING"):
        return _fuzz()
    seconds = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else name)
        corpus, failures = folder / "corpus", folder / "failures"
        corpus.mkdir(parents=True, exist_ok=True)
        failures.mkdir(exist_ok=True)
        command = [
            sys.executable,
            __file__,
            str(corpus),
            f"-max_total_time={seconds}",
            f"-timeout={_SECONDS}",
        ]
        command += [f"-rss_limit_mb={_MEBIBYTES}", f"-max_len={_LONGEST}", f"-artifact_prefix={failures}/"]
        command += ["-print_final_stats=1", "-verbosity=1", "-close_fd_mask=0"]
        done = subprocess.run(
            command,
            env={**os.environ, "TOOLSLOT_FUZZING": str(failures)},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        found = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
        failed = sorted(path.name for path in failures.iterdir())
        if done.returncode or failed:
            sys.stderr.write(done.stderr[-8000:])
        print(
            f"fuzz: executions={found.get('number_of_executed_units', '?')} seconds={seconds}"
            f" peak_mib={found.get('peak_rss_mb', '?')} failures={len(failed)}"
        )
        return 1 if done.returncode or failed else 0


def _fuzz() -> int:
    import atheris

    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    with atheris.instrument_imports(include=["toolslot", "toolslot_langgraph", "toolslot_llamaindex"]):
        from support import decoders

    order = list(decoders.DECODERS)
    decoders.write_corpus(Path(sys.argv[1]), order)

    def one(data: bytes) -> None:
        if not data:
            return
        name = order[data[0] % len(order)]
        try:
            decoders.run(name, data[1:])
        except BaseException:
            path = Path(os.environ["TOOLSLOT_FUZZING"]) / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data[1:])
            raise

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
