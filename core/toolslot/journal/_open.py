"""Which journal a path or an address names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, cast

from toolslot._domain._port import Journal
from toolslot._errors import InvalidSetting, JournalUnavailable
from toolslot._text import shown
from toolslot.journal._disk import open_directory
from toolslot.journal._disk._place import resolve
from toolslot.journal._doctor._findings import JournalReport
from toolslot.journal._format._encryption import VARIABLE, Encryption

#: the group of entry points under which packages offer further back ends: the name is the scheme of their addresses
GROUP = "toolslot.journals"


class Opener(Protocol):
    """What such an entry point names."""

    def __call__(self, address: str, *, read_only: bool, encryption: Encryption | None) -> Journal:
        """Open the journal at `address`, as `open_journal` says. Errors are `ToolslotError`s that do not show the address's password."""
        ...


def open_journal(path: str | os.PathLike[str] | None = None, *, read_only: bool = False) -> Journal:
    """The journal in the directory `path`, or at the address that it is (`scheme://...`).

    None means what `TOOLSLOT_HOME` names, or else `.toolslot` in the working directory. It is encrypted with the keys in
    `TOOLSLOT_KEY`, if that is set. An address is opened by the installed package that offers the entry point of its scheme in the group
    `toolslot.journals`; no other one is loaded.

    Raises:
        InvalidSetting: it is an address, and no installed package, or more than one, opens such.
        JournalError: no journal can be opened there; the subclass and the message say why. With `read_only` nothing is created,
            and what would write is refused with `JournalReadOnly`.
    """
    chosen = _chosen(path)
    scheme = _scheme(chosen)
    if scheme is None:
        return open_directory(chosen, read_only=read_only, encryption=default_encryption())
    return _opener(scheme)(os.fspath(chosen), read_only=read_only, encryption=default_encryption())


def journal_location(path: str | os.PathLike[str] | None = None) -> str:
    """What `open_journal(path)` would open now, named so that it stays the same when the working directory or `TOOLSLOT_HOME` changes.
    It may hold a password: do not show it.
    """
    chosen = _chosen(path)
    return str(Path(chosen).absolute()) if _scheme(chosen) is None else os.fspath(chosen)


def examine(
    path: str | os.PathLike[str] | None = None, *, encryption: Encryption | None = None
) -> JournalReport:
    """Read everything there is in the journal in a directory, and tell what is wrong with it.

    Changes nothing and hinders nobody, also while this or another process has it open. `path` and None are as for `open_journal`. What is
    encrypted is examined with these keys, or with those in `TOOLSLOT_KEY`; without, it is left out and counted.

    Raises:
        InvalidSetting: it is an address.
        JournalError: it cannot be opened, or is none.
    """
    from toolslot.journal._doctor import _check  # an agent never examines

    place = resolve(default_path(path))
    return _check.examine(place, encryption if encryption is not None else default_encryption())


def default_path(path: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    """`path`, or where a journal is when none is given, for what only a journal in a directory can do.

    Raises:
        InvalidSetting: it is an address; as a path it would name a folder that is not meant.
    """
    chosen = _chosen(path)
    scheme = _scheme(chosen)
    if scheme is not None:
        raise InvalidSetting(
            f"the journal is given as an address ({shown(scheme)}://...), and this works on the files of a journal in a directory. Name"
            " the directory: ./.toolslot, or TOOLSLOT_HOME."
        )
    return chosen


def default_encryption() -> Encryption | None:
    """What the environment says."""
    return Encryption.from_environment() if os.environ.get(VARIABLE) else None


def _chosen(path: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    return path if path is not None else os.environ.get("TOOLSLOT_HOME") or ".toolslot"


def _scheme(chosen: str | os.PathLike[str]) -> str | None:
    """Of an address; the rest of it is never shown, for it may hold a password."""
    named = os.fspath(chosen) if isinstance(chosen, os.PathLike) else chosen
    scheme, found, _ = str(named).partition("://")
    return scheme.lower() if found else None


def _opener(scheme: str) -> Opener:
    from importlib import metadata  # costs more to load than the rest of this module; a path needs none of it

    # A package that is found twice on the import path offers the same value twice.
    offered = {each.value: each for each in metadata.entry_points(group=GROUP, name=scheme)}
    found = f"the journal is given as an address ({shown(scheme)}://...)"
    if not offered:
        raise InvalidSetting(
            f"{found}, and no installed package keeps journals there: install one that offers the entry point {shown(scheme)!r} in the"
            f" group {GROUP!r}, or name a folder on a local disk: journal='./.toolslot', or TOOLSLOT_HOME."
        )
    if len(offered) > 1:
        raise InvalidSetting(
            f"{found}, and {len(offered)} installed packages open such: {', '.join(sorted(offered))}. Which of them has the journal"
            " cannot be told: uninstall all but one."
        )
    (entry,) = offered.values()
    try:
        return cast("Opener", entry.load())
    except (ImportError, AttributeError) as error:
        raise JournalUnavailable(
            f"{found}, and the package that opens such ({entry.value}) cannot be loaded: {type(error).__name__}. Install what it needs;"
            " the cause of this error says what is missing."
        ) from error
