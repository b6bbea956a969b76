"""`toolslot` and `python -m toolslot`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; without its packages, say which extra brings them and exit with 3."""
    try:
        from toolslot.cli import cli
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write('The toolslot command needs click and rich: pip install "toolslot[cli]"\n')
        sys.exit(3)
    cli(prog_name="toolslot")


if __name__ == "__main__":
    main()
