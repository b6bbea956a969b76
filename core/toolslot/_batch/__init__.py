"""One batch at work: its ownership, its calls, their attempts, and what all of them need."""

from __future__ import annotations
