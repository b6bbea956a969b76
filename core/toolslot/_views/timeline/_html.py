"""Escaping, and elements from their parts. Every text that reaches a page goes through here."""

from __future__ import annotations

from html import escape


def text(value: str) -> str:
    """`value` as the text of an element or the value of an attribute in quotes."""
    return escape(value, quote=True)


def element(tag: str, *inner: str, **attributes: str | None) -> str:
    """An element around markup. Of attribute names `_` stands for `-`, and a last `_` is dropped; None leaves an attribute out."""
    return f"<{tag}{attribute_text(attributes)}>{''.join(inner)}</{tag}>"


def attribute_text(attributes: dict[str, str | None]) -> str:
    """The attributes as they stand in a tag, their values escaped."""
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
        for name, value in attributes.items()
        if value is not None
    )


def percent(place: float) -> str:
    """A place between 0 and 1 for CSS."""
    return f"{place * 100:.3f}".rstrip("0").rstrip(".") + "%"
