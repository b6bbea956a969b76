"""Order of the tests: what fails fast runs first."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def cost(item: pytest.Item) -> int:
        return 2 if item.get_closest_marker("crash") else 1 if item.get_closest_marker("slow") else 0

    items.sort(key=cost)  # stable: within a class the order of the files stays
