"""Rows as bytes, and their encryption: the same for every back end."""

from __future__ import annotations
