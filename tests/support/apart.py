"""A disk journal as another process would have it."""

from __future__ import annotations

import os

from toolslot import Encryption
from toolslot.journal import DiskJournal
from toolslot.journal._disk._back_end import Terms
from toolslot.journal._disk._options import Options
from toolslot.journal._disk._place import resolve
from toolslot.journal._queue._processes import members


def open_apart(
    path: str | os.PathLike[str], *, lock_timeout: float = 30.0, encryption: Encryption | None = None
) -> DiskJournal:
    """Shared with nobody in this process, under an identity of its own."""
    options = Options(lock_timeout=lock_timeout, encryption=encryption)
    journal = DiskJournal(resolve(path), Terms(options=options, own_identity=True))
    with members.lock:
        journal._users = 1
        members.add(journal._session)
    try:
        journal._session.live()
    except BaseException:
        journal.close()
        raise
    return journal
