"""Whether anything of a secret is in the files of a journal."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path


def files(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            # By another process: closing any descriptor of a file here would drop the locks that the open journal has on it.
            yield path.name, subprocess.run(["cat", path], capture_output=True, check=True).stdout


def leaks(root: Path, *secrets: str) -> list[tuple[str, str]]:
    """Which secret stands in which file, as it is or in base64, hexadecimal or UTF-16."""
    found: list[tuple[str, str]] = []
    for secret in secrets:
        data = secret.encode()
        forms = [data, data.hex().encode(), secret.encode("utf-16-le")]
        # base64 at each of the three alignments, without the characters that depend on what stands around
        forms += [base64.b64encode(b"\0" * shift + data)[4:-4] for shift in range(3)]
        found += [(name, secret) for name, content in files(root) for form in forms if form in content]
    return found
