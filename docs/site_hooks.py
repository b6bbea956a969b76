"""What the site's generator does differently: see mkdocs.yml."""

from __future__ import annotations

import posixpath
import re

_LINK = re.compile(r"\[([^\]]+)\]\((\.\.?/[^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """A link out of this folder leads to a file of the repository, which the site does not hold: its name is what is left of it."""
    source: str = page.file.src_uri  # type: ignore[attr-defined]

    def named(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(source), link[2]))
        if target.startswith("docs/"):
            return link[0]
        text = link[1].strip("`")
        return f"`{target}`" if text in target or target in text else f"{link[1]} (`{target}`)"

    return _LINK.sub(named, markdown)
