"""What users see of the package: everything that stands in a public signature can be imported, and everything public says what it does."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

import toolslot
import toolslot.hosting
from toolslot import DiskJournal, DurableExecutor, MemoryJournal, ToolPolicy
from toolslot.instrumentation import HookMethods


def members(cls: type) -> list[tuple[str, Any]]:
    return [(name, getattr(cls, name)) for name in dir(cls) if not name.startswith("_")]


@pytest.mark.parametrize("cls", [DiskJournal, MemoryJournal, DurableExecutor, HookMethods])
def test_every_public_member_says_what_it_does(cls: type) -> None:
    assert [name for name, member in members(cls) if not inspect.getdoc(member)] == []


@pytest.mark.parametrize(
    "name", ["Answer", "Durability", "Hook", "Kept", "OnFailed", "OnResume", "OnUnknown", "Reconciler"]
)
def test_what_stands_in_public_signatures_can_be_imported(name: str) -> None:
    assert name in toolslot.__all__
    assert hasattr(toolslot, name)


def test_a_policy_shows_what_it_is_given_and_what_follows_for_hosts() -> None:
    shown = {name for name, _ in members(ToolPolicy)} - {field.name for field in fields(ToolPolicy)}
    assert shown == {"from_annotations", "going_on", "unknown_rule", "unserved"}


def test_what_hosts_need_says_what_it_does_and_stands_in_order() -> None:
    names = toolslot.hosting.__all__
    assert sorted(names) == sorted(set(names))
    for name in names:
        found = getattr(toolslot.hosting, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert inspect.getdoc(found), name
            assert (
                not inspect.isclass(found)
                or [
                    n
                    for n, each in members(found)
                    if not (inspect.ismemberdescriptor(each) or inspect.getdoc(each))
                ]
                == []
            )
