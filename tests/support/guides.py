"""Guides taken apart: their sections, and the code in them."""

from __future__ import annotations

import re


def sections(page: str) -> dict[str, str]:
    """The texts under the headings, by heading."""
    parts = re.split(r"^##+ (.*)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
