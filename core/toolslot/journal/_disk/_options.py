"""The settings of a disk journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toolslot._errors import InvalidSetting
from toolslot.journal._format._encryption import Encryption

Durability = Literal["power", "process"]

_SYNCHRONOUS: dict[Durability, int] = {"power": 2, "process": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What `DiskJournal.open` was given, checked. `lock_timeout` is in seconds.

    Raises:
        InvalidSetting: a value means nothing.
    """

    durability: Durability = "power"
    lock_timeout: float = 30.0
    max_bytes: int = 64 * 2**20
    encryption: Encryption | None = None

    def __post_init__(self) -> None:
        if self.durability not in _SYNCHRONOUS:
            raise InvalidSetting(f'durability={self.durability!r}: it is "power" or "process".')
        if not 0 <= self.lock_timeout < 2**31:
            raise InvalidSetting(
                f"lock_timeout={self.lock_timeout!r}: give seconds, 0 for not waiting at all."
            )
        if self.max_bytes < 1:
            raise InvalidSetting(f"max_result_bytes={self.max_bytes!r}: give a number of bytes, at least 1.")

    @property
    def synchronous(self) -> int:
        """SQLite's word for the durability."""
        return _SYNCHRONOUS[self.durability]
