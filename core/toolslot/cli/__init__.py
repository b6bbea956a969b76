"""The `toolslot` command. It imports no adapter: frameworks take seconds to import."""

from __future__ import annotations

from toolslot.cli._main import cli

__all__ = ["cli"]
