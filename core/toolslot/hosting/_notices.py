"""Warnings that a user is given once."""

from __future__ import annotations

import logging

log = logging.getLogger("toolslot")


class Notices:
    """Warnings of one object, each given once, whatever its arguments are."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def once(self, text: str, *args: object) -> None:
        """Log `text` with `args`, as `logging` formats them, unless that was done before."""
        if text not in self._given:
            self._given.add(text)
            log.warning(text, *args)
