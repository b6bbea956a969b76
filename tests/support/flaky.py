"""A tool of which one call fails until it is mended."""

from __future__ import annotations

from langchain_core.tools import tool


class Flaky:
    """A tool whose call 2 raises until it is mended; it notes what ran."""

    def __init__(self, error: type[Exception] = ConnectionError) -> None:
        self.ran: list[int] = []
        self.broken = True
        flaky = self

        @tool
        def work(i: int) -> str:
            """Works."""
            flaky.ran.append(i)
            if i == 2 and flaky.broken:
                raise error(f"call {i}")
            return f"did {i}"

        self.tool = work
