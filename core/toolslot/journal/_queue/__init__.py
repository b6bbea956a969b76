"""One writer, group commit, and forks: for every back end that has a `Store`. Nothing here knows what the store is made of."""

from __future__ import annotations
