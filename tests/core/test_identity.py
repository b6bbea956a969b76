"""Digests and keys that are the same everywhere and for ever."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timezone, tzinfo
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any

import diskcache
import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st

from toolslot import InvalidSetting
from toolslot._domain._identity import args_digest, idempotency_key

CORE = Path(__file__).parents[2] / "core"
NAIVE = datetime(2024, 1, 1)
OTHER_PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.1[0-9]*/bin/python"))


def digest(**args: object) -> str:
    found = args_digest("tool", args)
    assert found is not None
    return found


class Color(IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


# --- known answers, computed with sha256sum and openssl over the bytes written out: journals hold these ------------------


@pytest.mark.parametrize(
    ("tool", "args", "expected"),
    [
        ("pay", {}, "f810aee83617df428a222675c452498994bb0c97d14cbd3847010a020474a40d"),
        (
            "pay",
            {"amount": 10, "to": "Zoë"},
            "8471790c44f8d56d0f304bc44824e6047536931705963527a370ceab4ebb6a0b",
        ),
        (
            "search",
            {
                "a": [1, 1.0, True, None, "1", -0.0, 1e300, 2**70, 10**700],
                "b": {1: "x", (2, "y"): {3, 4}, "$": math.nan},
                "c": [b"\x00", Decimal("1.0"), datetime(2024, 2, 29, 1, tzinfo=timezone.utc), "\ud800"],
            },
            "4adf0fdaaf976712fa91492ca56a69e56a240c5acfacc8f2ade81d3c9c742297",
        ),
    ],
)
def test_a_digest_never_changes(tool: str, args: dict[str, object], expected: str) -> None:
    assert args_digest(tool, args) == expected


def test_a_keyed_digest_never_changes() -> None:
    assert args_digest("pay", {"amount": 10}, key=b"k" * 32) == (
        "163ba1432844804a903e191177712b4e6fd502f33ba234db1174d2067c638e99"
    )


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("run", "batch", 0, 1), "ts_2f2b9c16eaa8779e257a258ffd9e7a076b82fc46"),
        (("", "", 0, 1), "ts_bb5af3924650f42ea81d87a4a16917610186c1e5"),
        (("Zoë/1", "a|b", 12, 3), "ts_c71afaca07aa64af5c9116aea01583bc357123b3"),
    ],
)
def test_an_idempotency_key_never_changes(parts: tuple[str, str, int, int], expected: str) -> None:
    assert idempotency_key(*parts) == expected


# --- the digest, rule by rule -------------------------------------------------------------------------------------------


def test_the_order_of_keys_does_not_count_at_any_level() -> None:
    assert digest(a=1, b={"c": 2, "d": 3}) == digest(b={"d": 3, "c": 2}, a=1)
    assert digest(a={1: "x", (2,): "y"}) == digest(a={(2,): "y", 1: "x"})


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        (1, True),
        (1.0, True),
        (0, False),
        (1, "1"),
        (None, "null"),
        (None, False),
        (0.0, -0.0),
        (0, -0.0),
        (2**53, 2**53 + 1),
        (2**64, float(2**64)),
        (10**700, 10**700 + 1),
        (0.1 + 0.2, 0.3),
        ({1: "x"}, {"1": "x"}),
        ({None: "x"}, {"null": "x"}),
        ({True: "x"}, {1: "x"}),
        (math.nan, None),
        (math.inf, None),
        (math.inf, -math.inf),
        (math.nan, "nan"),
        (b"a", "a"),
        (b"a", "YQ=="),
        (b"a", bytearray(b"a")),
        (Decimal("1.0"), "1.0"),
        (Decimal("1.0"), 1.0),
        (Decimal("1.0"), Decimal("1.00")),
        (NAIVE, "2024-01-01T00:00:00"),
        (NAIVE, NAIVE.replace(tzinfo=timezone.utc)),
        ({1, 2}, [1, 2]),
        ({1, 2}, frozenset({1, 2})),
        ([1, 2], [2, 1]),
        ([[1], 2], [1, [2]]),
        ([], {}),
        ("", None),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
        ("a", "A"),
        ("a ", "a"),
        (b"a", {"$": "bytes", "v": "YQ=="}),
        ({1: 2}, {"$": "dict", "v": [[1, 2]]}),
        ("\ud83d\ude00", "\U0001f600"),
    ],
)
def test_different_values_have_different_digests(a: object, b: object) -> None:
    assert digest(x=a) != digest(x=b)
    assert digest(x=[{"y": a}]) != digest(x=[{"y": b}])


def test_a_tuple_equals_a_list() -> None:
    assert digest(x=(1, (2, ["a"]))) == digest(x=[1, [2, ("a",)]])


def test_a_nan_equals_a_nan() -> None:
    assert digest(x=math.nan) == digest(x=-math.nan)


def test_sets_are_sorted_by_what_stands_for_their_elements() -> None:
    items = ["b", "a", 0, 2**61 - 1, 2.5, None, (1, "x"), frozenset({"q", "p"})]
    backwards = items[::-1]
    one, other = set(items), set(backwards)
    assert list(one) != list(other)  # 0 and 2**61 - 1 have the same hash, so the first one in comes first
    assert digest(x=one) == digest(x=other)


def test_the_tool_is_part_of_the_digest() -> None:
    assert args_digest("a", {"x": 1}) != args_digest("b", {"x": 1})
    assert args_digest("a|2:", {}) != args_digest("a", {})


@pytest.mark.parametrize(
    "value", [object(), Color.RED, Text("a"), OrderedDict(), Path("a"), [1, {2: {object()}}], ...]
)
def test_arguments_that_cannot_be_normalised_have_no_digest(value: object) -> None:
    assert args_digest("tool", {"x": value}) is None


def test_arguments_nested_too_deep_or_in_a_circle_have_no_digest() -> None:
    ring: list[object] = []
    ring.append(ring)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert args_digest("tool", {"x": ring}) is None
    assert args_digest("tool", {"x": deep}) is None


def test_arguments_are_never_changed_and_any_mapping_will_do() -> None:
    class Args(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            return {"a": [1]}[key]

        def __iter__(self) -> Any:
            return iter("a")

        def __len__(self) -> int:
            return 1

    assert args_digest("tool", Args()) == digest(a=[1])


def test_arguments_that_fail_when_looked_at_have_no_digest() -> None:
    class Zone(tzinfo):
        def utcoffset(self, dt: datetime | None) -> Any:
            raise LookupError("s3cret")

    class Unhashable(type):
        __hash__ = None  # type: ignore[assignment]

    assert args_digest("tool", {"x": datetime(2024, 1, 1, tzinfo=Zone())}) is None
    assert args_digest("tool", {"x": Unhashable("Unhashable", (), {})()}) is None


def test_a_key_makes_another_digest_and_must_not_be_empty() -> None:
    plain, first, second = (args_digest("tool", {"x": 1}, key=key) for key in (None, b"1" * 32, b"2" * 32))
    assert len({plain, first, second}) == 3
    with pytest.raises(InvalidSetting, match="empty"):
        args_digest("tool", {"x": 1}, key=b"")
    assert args_digest("tool", {"x": object()}, key=b"1" * 32) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_arguments_that_went_through_json_keep_their_digest(args: dict[str, object]) -> None:
    again = json.loads(json.dumps(args, sort_keys=True))
    assert args_digest("tool", again) == args_digest("tool", args)


# --- the same everywhere ------------------------------------------------------------------------------------------------

EVERYWHERE = """
import math, sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from toolslot._codec import JsonCodec
from toolslot._domain._identity import args_digest, idempotency_key

words = {"alpha", "beta", "gamma", "delta", b"x", None, 1.5, ("t", 1), frozenset({"p", "q", "r"})}
args = {
    "set": words, "dict": {"z": 1, "a": {2: words, "$": 3}}, "floats": [0.1, 1e22, 1e-7, 5e-324, -0.0, math.nan, -math.inf, 1e16],
    "ints": [2**70, 10**640, -7**3000], "text": "Zo\\u00eb \\U0001f600 \\ud800", "tuple": (1, [2]),
    "times": [datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=-3, minutes=-30))), timedelta(days=-1, seconds=5)],
    "decimals": [Decimal("1E+5"), Decimal("-0.10"), Decimal("sNaN1")], "bytes": [b"\\x00\\xff", bytearray(b"a")], "complex": 1e22 - 2j,
}
codec = JsonCodec()
data = codec.encode(args)
assert codec.encode(codec.decode(data)) == data
print(args_digest("tool", args), idempotency_key("run \\ud800", "batch", 3, 1), data.hex())
"""


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the core's two dependencies and nothing else."""
    folder = tmp_path_factory.mktemp("dependencies")
    shutil.copy(typing_extensions.__file__, folder)
    shutil.copytree(Path(diskcache.__file__).parent, folder / "diskcache")
    return folder


def everywhere(python: Path, dependencies: Path, seed: int) -> str:
    done = subprocess.run(
        [str(python), "-S", "-W", "error", "-c", EVERYWHERE],
        env={
            "PYTHONHASHSEED": str(seed),
            "PYTHONPATH": f"{CORE}{os.pathsep}{dependencies}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SYSTEMROOT": os.environ.get("SYSTEMROOT", ""),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def here(dependencies: Path) -> str:
    return everywhere(Path(sys.executable), dependencies, 0)


@pytest.mark.parametrize("seed", [1, 2, 12345])
def test_case_10_another_hash_seed_changes_nothing(here: str, dependencies: Path, seed: int) -> None:
    assert everywhere(Path(sys.executable), dependencies, seed) == here


@pytest.mark.parametrize("python", OTHER_PYTHONS, ids=lambda path: path.parts[-3])
def test_case_10_another_python_version_changes_nothing(here: str, dependencies: Path, python: Path) -> None:
    assert everywhere(python, dependencies, 7) == here


# --- keys of calls ------------------------------------------------------------------------------------------------------


def test_a_key_looks_like_one() -> None:
    key = idempotency_key("run", "batch", 0, 1)
    assert key.startswith("ts_")
    assert len(key) == 43
    assert set(key[3:]) <= set("0123456789abcdef")


def test_no_two_calls_share_a_key() -> None:
    ids = ["", "a", "b", "ab", "a|", "|1:b", "1", "12", "1:", "\ud800", "a\x00"]
    places = [
        (run, batch, index, generation)
        for run in ids
        for batch in ids
        for index in (0, 1, 11)
        for generation in (1, 11)
    ]
    assert len({idempotency_key(*place) for place in places}) == len(places)
