"""Changes found between two looks at a value, and made again, on the value that was changed or on another one."""

from __future__ import annotations

import copy
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolslot_llamaindex._edits import MISSING, Edit, difference, look, pack, unpack
from toolslot_llamaindex._redoing import changed
from toolslot_llamaindex._values import ValueCodec

pytestmark = pytest.mark.any_release  # plain values

CODEC = ValueCodec.of().lenient

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=2) | st.integers(0, 3), inner, max_size=4)
        | st.sets(st.integers(0, 5) | st.text(max_size=1), max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=12,
)


def again(old: Any, new: Any, on: Any) -> Any:
    """What becomes of `on` by the change that made `new` of `old`, after it was stored."""
    change = difference(look(old, CODEC), look(new, CODEC))
    if change is None:
        return on
    return changed(on, unpack(pack(Edit(number=0, key="k", change=change))).change, CODEC)


@given(plain, plain)
def test_a_change_makes_of_the_old_value_exactly_the_new_one(old: Any, new: Any) -> None:
    found = again(old, new, copy.deepcopy(old))
    assert look(found, CODEC) == look(new, CODEC)


@given(plain, plain, plain)
def test_a_change_can_be_made_on_any_value_and_leaves_that_as_it_was(old: Any, new: Any, other: Any) -> None:
    before = look(other, CODEC)
    again(old, new, other)
    assert look(other, CODEC) == before


NAN = math.nan

MERGED: dict[str, tuple[Any, Any, Any, Any]] = {
    "appended": (["a"], ["a", "b"], ["a", "c"], ["a", "c", "b"]),
    "put before": (["a"], ["b", "a"], ["a", "c"], ["b", "a", "c"]),
    "removed from the end": (["a", "b"], ["a"], ["a", "b", "c"], ["a", "c"]),
    "removed from the front": (["a", "b"], ["b"], ["a", "b", "c"], ["b", "c"]),
    "removed, and gone already": (["a", "b"], ["a"], ["a"], ["a"]),
    "one item exchanged for two": (["a", "b"], ["a", "x", "y"], ["a", "b", "c"], ["a", "c", "x", "y"]),
    "an item changed inside": ([{"n": 1}], [{"n": 2}], [{"n": 1, "m": 1}, {}], [{"n": 2, "m": 1}, {}]),
    "a list in a dict": ({"log": []}, {"log": ["a"]}, {"log": ["b"]}, {"log": ["b", "a"]}),
    "a counter": (1, 2, 5, 6),
    "a counter of money": (Decimal("1.10"), Decimal("2.20"), Decimal("0.00"), Decimal("1.10")),
    "a counter that began": (MISSING, 1, 3, 1),
    "a list that began": (MISSING, ["a"], ["b"], ["b", "a"]),
    "a dict that began": (MISSING, {"a": 1}, {"b": 2}, {"b": 2, "a": 1}),
    "a list, where nothing is": (["a"], ["a", "b"], MISSING, ["b"]),
    "a counter, where nothing is": (3, 5, MISSING, 2),
    "a dict, where a text is": ({"a": 1}, {"a": 1, "b": 2}, "text", {"b": 2}),
    "members": ({1, 2}, {2, 3}, {1, 2, 9}, {2, 3, 9}),
    "a key removed": ({"a": 1, "b": 2}, {"a": 1}, {"a": 5, "b": 2, "c": 3}, {"a": 5, "c": 3}),
    "a text": ("x", "y", "z", "y"),
    "a truth is no number": (False, True, 3, True),
    "an int became a float": (1, 1.0, 1, 1.0),
    "all of it removed": ("x", MISSING, "y", MISSING),
}


@pytest.mark.parametrize(("old", "new", "on", "expected"), MERGED.values(), ids=MERGED.keys())
def test_a_change_is_made_on_what_a_sibling_has_made_of_the_value(
    old: Any, new: Any, on: Any, expected: Any
) -> None:
    def seen(value: Any) -> Any:
        return MISSING if value is MISSING else look(value, CODEC)

    change = difference(seen(old), seen(new))
    assert change is not None
    found = changed(on, change, CODEC)
    assert (type(found), found) == (type(expected), expected)


def test_a_list_that_holds_itself_is_looked_at_once() -> None:
    loop: list[Any] = [1]
    loop += [loop, loop]
    tree = look(loop, CODEC)
    assert tree == look(loop, CODEC)
    loop.append(2)
    assert difference(tree, look(loop, CODEC)) is not None


def test_a_sum_of_floats_that_would_round_is_put_there_whole() -> None:
    assert again(0.1, 0.3, 0.1) == 0.3
    assert math.isnan(again(1.0, NAN, 1.0))
    assert difference(look(NAN, CODEC), look(NAN, CODEC)) is None


def test_the_order_of_a_dict_comes_back_and_a_key_of_a_siblings_stays() -> None:
    old, new = {"b": 1, "a": 2}, {"a": 2, "c": 4, "b": 3}
    assert list(again(old, new, old).items()) == list(new.items())
    assert again(old, new, {**old, "d": 5}) == {**new, "d": 5}
