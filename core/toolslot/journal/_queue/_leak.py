"""Objects that must never be finalized."""

from __future__ import annotations


def keep_for_ever(thing: object) -> None:
    """Keep `thing`, and all it refers to, to the end of the process and beyond the end of the interpreter, which finalizes
    whatever is counted no more often than it is known.
    """
    _kept.append(thing)
    try:
        import ctypes
    except ImportError:
        return  # then at least until the modules go
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


_kept: list[object] = []
