"""Runs as pictures of what happened when: a page of its own, a figure for notebooks, lines of text. Views in, text out."""

from __future__ import annotations

from toolslot._views import drawn_by
from toolslot._views.timeline._notebook import Bundle, Shown, bundle
from toolslot._views.timeline._page import page
from toolslot._views.timeline._plain import plain

__all__ = ["Bundle", "Shown", "bundle", "page", "plain"]

drawn_by(bundle)
