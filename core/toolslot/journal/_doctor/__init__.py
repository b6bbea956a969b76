"""Journals on disk that are not as they should be: examine, repair, salvage. No agent loads this; what it reads is as `_disk` writes it."""

from __future__ import annotations
