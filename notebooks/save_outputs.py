"""Runs the notebooks from fresh kernels and keeps their outputs: `make notebooks`. With names, only these."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def run(path: Path) -> None:
    """Execute the notebook, and save it with what does not differ from run to run for no reason."""
    notebook: Any = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(HERE)}})
    client.extra_arguments = ["--log-level=40"]
    client.execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number:02d}", {}
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise SystemExit(
                    f"{path.name}, cell {number} wrote to stderr, which readers would see:\n{output['text']}"
                )
    host = rf"\b{re.escape(socket.gethostname())}\b"
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        for kind, shown in output.get("data", {}).items():
            output["data"][kind] = re.sub(host, "host", shown)
    nbformat.write(notebook, path)
    print(path.name, flush=True)


if __name__ == "__main__":
    named = [HERE / name for name in sys.argv[1:]]
    for each in named or sorted(HERE.glob("*.ipynb")):
        run(each)
