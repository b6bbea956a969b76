"""`toolslot` and `python -m toolslot`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; without its packages, say which extra brings them and exit with 3."""
    try:
        from toolslot.cli import cli

        cli(prog_name="toolslot")
    except ModuleNotFoundError as error:
        # Other packages bring click without rich.
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write('The toolslot command needs click and rich: pip install "toolslot[cli]"\n')
        sys.exit(3)


if __name__ == "__main__":
    main()
