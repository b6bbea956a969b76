"""The public API as a type checker sees it.

Never run: `make types` reads it with mypy and pyright, both strict.
"""

from __future__ import annotations

from typing_extensions import assert_type

import toolslot

assert_type(toolslot.__version__, str)
