"""A run or a batch as the value of a notebook's cell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from typing_extensions import override

from toolslot._views import BatchView, RunView
from toolslot._views.timeline._figure import figure
from toolslot._views.timeline._html import element, text
from toolslot._views.timeline._page import page
from toolslot._views.timeline._plain import plain

#: what a view is shown as, by media type
Bundle: TypeAlias = dict[str, str]


class Shown:
    """A run, drawn where it is displayed: as a figure in a notebook, as text elsewhere.

    It shows what was read when it was made; ask again for what has happened since.
    """

    __slots__ = ("view",)

    def __init__(self, view: RunView) -> None:
        self.view: RunView = view

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run to `path` as one HTML page that needs nothing else, with more to look at than the figure; returns the path."""
        target = Path(path)
        target.write_text(page(self.view), encoding="utf-8")
        return target

    @override
    def __repr__(self) -> str:
        return plain(self.view)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        return bundle(self.view)


def bundle(view: RunView | BatchView) -> Bundle:
    """The view as text and as HTML without style or script, so that viewers which strip both show it too."""
    run = view if isinstance(view, RunView) else RunView(run_id=view.run_id, batches=(view,))
    told = plain(run)
    as_text = element("details", element("summary", "as text"), element("pre", text(told)))
    return {"text/plain": told, "text/html": element("div", figure(run), as_text)}
