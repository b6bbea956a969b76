"""What names an effect: its key from the model's arguments, and digests that keep different keys apart."""

from __future__ import annotations

from typing import Any

import pytest

from toolslot import InvalidSetting, ToolPolicy
from toolslot._domain._effect_names import (
    NamedEffect,
    NoKey,
    effect_digests,
    effect_idempotency_key,
    name_effect,
)


def named(args: dict[str, Any], wanted: Any = "invoice", name: str = "pay", **settings: Any) -> NamedEffect:
    found = name_effect(wanted, name, args, **settings)
    assert isinstance(found, NamedEffect), found
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"invoice": 4711}, {"invoice": "4711"}),
        ({"invoice": "a"}, {"invoice": "A"}),
        ({"invoice": ""}, {"invoice": " "}),
    ],
)
def test_different_keys_are_different_effects(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert named(one).digest != named(other).digest


def test_parts_of_a_key_do_not_run_together() -> None:
    keys = [{"a": "x", "b": "yz"}, {"a": "xy", "b": "z"}, {"a": "y", "b": "xz"}]
    assert len({named(args, ("a", "b")).digest for args in keys}) == len(keys)


def test_two_spellings_of_one_text_are_one_effect_with_the_same_arguments() -> None:
    one, other = named({"invoice": "e\u0301"}), named({"invoice": "\u00e9"})
    assert (one.digest, one.compared) == (other.digest, other.compared)


@pytest.mark.parametrize(
    "value", [None, True, 1.5, ["a"], ("a",), {}, 10**5000], ids=lambda value: type(value).__name__
)
def test_other_values_give_no_key(value: object) -> None:
    found = name_effect(("account", "invoice"), "pay", {"account": "a", "invoice": value})
    assert isinstance(found, NoKey)
    assert "'invoice'" in found.why
    assert isinstance(name_effect("missing", "pay", {"invoice": value}), NoKey)


@pytest.mark.parametrize("function", [lambda args: args["no"], lambda _: (), lambda _: None, lambda _: 1.5])
def test_a_function_that_gives_no_key_is_told_to_the_model_and_raises_nothing(function: Any) -> None:
    assert isinstance(name_effect(function, "pay", {"invoice": 1}), NoKey)


def test_a_function_of_the_arguments_gives_one_part_or_several() -> None:
    assert named({"invoice": 1}, lambda args: args["invoice"]).digest == named({"invoice": 1}).digest
    assert (
        named({"a": 1, "b": 2}, lambda args: (args["a"], args["b"])).digest
        == named({"a": 1, "b": 2}, ("a", "b")).digest
    )


def test_a_function_cannot_change_the_arguments() -> None:
    args = {"invoice": 1}
    name_effect(lambda given: given.clear(), "pay", args)  # type: ignore[attr-defined]
    assert args == {"invoice": 1}


def test_arguments_beside_the_key_are_compared_but_those_that_are_left_out() -> None:
    first = named({"invoice": 1, "amount": 100, "memo": "x"}, ignore=("memo",))
    assert first.compared == named({"invoice": 1, "amount": 100, "memo": "y"}, ignore=("memo",)).compared
    assert first.compared != named({"invoice": 1, "amount": 120, "memo": "x"}, ignore=("memo",)).compared


def test_arguments_that_cannot_be_compared_have_no_digest() -> None:
    assert named({"invoice": 1, "amount": object()}).compared is None


def test_run_and_encryption_give_other_digests_and_the_plain_one_is_kept() -> None:
    plain, scoped = named({"invoice": 1}), named({"invoice": 1}, run_id="r")
    keyed = named({"invoice": 1}, digest_key=b"k" * 16)
    assert len({plain.digest, scoped.digest, keyed.digest}) == 3
    assert keyed.unkeyed == (plain.digest, plain.compared)


def test_who_looks_for_an_effect_by_its_key_finds_the_digests_it_may_have() -> None:
    plain, keyed = named({"invoice": 1}), named({"invoice": 1}, digest_key=b"k" * 16)
    assert effect_digests("pay", (1,), run_id=None, digest_key=b"k" * 16) == (keyed.digest, plain.digest)


def test_the_idempotency_key_is_fixed_for_ever() -> None:
    effect = named({"invoice": "i-1"})
    assert effect.digest == "06c25f6f350dfba861354b3e82426c380261fc35f80266933eafd11e97ea9df0"
    assert effect_idempotency_key("j", effect.digest, 0) == "ts_a2ad549aca41e51a1c4ee0450e3838cda0d96c7c"
    others = {effect_idempotency_key("j", effect.digest, n) for n in range(3)}
    others.add(effect_idempotency_key("k", effect.digest, 0))
    assert len(others) == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"effect_key": "invoice", "record": False},
        {"effect_key": "invoice", "on_resume": "rerun"},
        {"effect_key": "invoice", "idempotent": True},
        {"effect_key": ()},
        {"effect_key": ("",)},
        {"effect_key": 5},
        {"effect_key": "invoice", "effect_ignore": (5,)},
        {"effect_key": "invoice", "effect_scope": "thread"},
        {"effect_key": "invoice", "effect_ttl": 0},
        {"effect_key": "invoice", "effect_name": ""},
        {"effect_scope": "run"},
        {"effect_ttl": 5.0},
        {"effect_name": "pay"},
        {"effect_ignore": "memo"},
    ],
    ids=str,
)
def test_settings_that_mean_nothing_or_contradict_an_effect_key_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="effect_"):
        ToolPolicy(**settings)


def test_a_tool_with_an_effect_key_is_asked_about_unless_its_policy_says_otherwise() -> None:
    assert ToolPolicy(effect_key="invoice").unknown_rule == "ask"
    assert ToolPolicy(effect_key="invoice", on_unknown="rerun").unknown_rule == "rerun"
