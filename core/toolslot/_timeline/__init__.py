"""Runs as pictures of what happened when: a page of its own, and a figure for notebooks. Pure: views in, text out."""

from __future__ import annotations

from toolslot._timeline._page import page

__all__ = ["page"]
