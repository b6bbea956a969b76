"""What is kept of an exception, however strange it is."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import pytest

from toolslot import UnreadablePayload
from toolslot._codec import ErrorRecord, encode_error


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def chained(length: int) -> BaseException:
    error: BaseException = ValueError("0")
    for i in range(1, length):
        later = ValueError(str(i))
        later.__cause__ = error
        error = later
    return error


def through_json(record: ErrorRecord) -> ErrorRecord:
    return ErrorRecord.from_json(json.loads(json.dumps(record.to_json())))


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Hostile(Exception):
    @property
    def args(self) -> Any:
        raise RuntimeError("no args")

    @property
    def __notes__(self) -> Any:
        raise RuntimeError("no notes")

    @property
    def __cause__(self) -> Any:
        raise RuntimeError("no cause")


class Subtle(str):
    __slots__ = ()

    def __getitem__(self, _: object) -> Any:
        raise RuntimeError("no characters")


class WithSubtleText(Exception):
    def __str__(self) -> str:
        return Subtle("subtle")


class Unpicklable(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(lambda: a + b)

    def __reduce__(self) -> Any:
        raise TypeError("cannot be pickled")


def test_a_record_holds_type_message_args_and_traceback() -> None:
    record = encode_error(raised(ValueError("no such order", 7)))
    assert record.type_name == "builtins.ValueError"
    assert record.message == "('no such order', 7)"
    assert record.args == ("no such order", 7)
    assert record.cause is None
    assert "in raised" in record.traceback
    assert record.traceback.endswith("ValueError: ('no such order', 7)\n")


def test_case_19_any_exception_class_is_recorded() -> None:
    class Local(Exception):
        pass

    unpicklable = Unpicklable(1, 2)
    with pytest.raises(TypeError):
        pickle.dumps(unpicklable)
    for error in (
        Local("x"),
        unpicklable,
        Unprintable(),
        Hostile(),
        WithSubtleText(),
        KeyboardInterrupt(),
        Exception(),
    ):
        record = encode_error(raised(error))
        assert through_json(record) == record
        assert record.type_name == f"{type(error).__module__}.{type(error).__qualname__}"
        assert type(record.message) is str
    assert encode_error(Local("x")).type_name.endswith(
        "test_case_19_any_exception_class_is_recorded.<locals>.Local"
    )


def test_a_text_that_raises_is_replaced_by_a_word_about_it() -> None:
    assert "RuntimeError" in encode_error(raised(Unprintable())).message


def test_notes_are_kept() -> None:
    error = ValueError("x")
    error.__notes__ = ["first", 5, "second"]  # type: ignore[attr-defined, list-item]
    assert encode_error(error).notes == ("first", "second")
    error.__notes__ = 5  # type: ignore[attr-defined]
    assert encode_error(error).notes == ()


@pytest.mark.parametrize(
    "args", [(object(),), ((1, 2),), (float("nan"),), ({1: 2},), ("x" * 5000,), (b"x",), ("\ud800",)]
)
def test_args_that_are_not_plain_json_or_too_long_are_left_out(args: tuple[object, ...]) -> None:
    assert encode_error(ValueError(*args)).args is None


def test_a_record_does_not_change_when_the_exception_does() -> None:
    items = [1]
    record = encode_error(ValueError(items))
    items.append(2)
    assert record.args == ([1],)


def test_the_cause_or_else_the_context_is_kept() -> None:
    def fail(*, how: str) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            if how == "from":
                raise ValueError("second") from OSError("third")
            if how == "none":
                raise ValueError("second") from None
            raise ValueError("second")  # noqa: B904

    causes = {}
    for how in ("from", "none", "context"):
        with pytest.raises(ValueError, match="second") as caught:
            fail(how=how)
        cause = encode_error(caught.value).cause
        causes[how] = cause and cause.type_name
    assert causes == {"from": "builtins.OSError", "none": None, "context": "builtins.KeyError"}


@pytest.mark.parametrize(("length", "kept"), [(1, 0), (9, 8), (10, 8), (100, 8)])
def test_at_most_eight_causes_are_kept(length: int, kept: int) -> None:
    record = encode_error(chained(length))
    assert through_json(record) == record
    causes = []
    while record.cause is not None:
        record = record.cause
        causes.append(record.message)
    assert causes == [str(i) for i in range(length - 2, length - 2 - kept, -1)]


def test_causes_in_a_circle_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    record = encode_error(first)
    assert record.cause is not None
    assert record.cause.cause is None


def test_every_part_is_bounded() -> None:
    error = raised(ValueError("\x00" * 1_000_000))
    error.__notes__ = ["n" * 100_000] * 1000  # type: ignore[attr-defined]
    error.__cause__ = raised(ValueError("ü" * 1_000_000))
    record = encode_error(error)
    assert len(record.message) <= 4000
    assert len(record.notes) == 16
    assert all(len(note) <= 1000 for note in record.notes)
    assert len(record.traceback.encode()) <= 8 * 1024
    assert "in raised" in record.traceback
    assert len(json.dumps(record.to_json())) < 80_000


def test_a_deep_traceback_keeps_its_beginning_and_its_end() -> None:
    def descend(n: int) -> None:
        if n == 0:
            raise ValueError("the end")
        (descend if n % 2 else ascend)(n - 1)

    def ascend(n: int) -> None:
        descend(n)

    with pytest.raises(ValueError, match="the end") as caught:
        descend(200)
    text = encode_error(caught.value).traceback
    assert len(text.encode()) <= 8 * 1024
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: the end\n")


def test_texts_hold_no_control_characters_or_lone_surrogates() -> None:
    record = encode_error(raised(ValueError("a\tb\nc\x00\x1b[31m\u202e\ud800")))
    assert record.message == "a\tb\nc\\x00\\x1b[31m\\u202e\\ud800"
    assert "\x1b" not in record.traceback
    record.traceback.encode()


def test_a_record_hides_its_message_from_logs() -> None:
    assert repr(encode_error(ValueError("s3cret"))) == "<ErrorRecord builtins.ValueError>"


GOOD = encode_error(chained(2)).to_json()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "x",
        {},
        {**GOOD, "type": 1},
        {**GOOD, "message": None},
        {**GOOD, "args": {}},
        {**GOOD, "notes": "x"},
        {**GOOD, "notes": [1]},
        {**GOOD, "cause": "x"},
        {**GOOD, "cause": {}},
        {**GOOD, "traceback": 1},
        {key: value for key, value in GOOD.items() if key != "notes"},
    ],
)
def test_a_damaged_record_is_refused(data: object) -> None:
    assert ErrorRecord.from_json(GOOD).cause is not None
    with pytest.raises(UnreadablePayload):
        ErrorRecord.from_json(data)


def test_a_record_with_too_many_causes_is_refused() -> None:
    data: dict[str, object] = dict(GOOD, cause=None)
    for _ in range(100_000):
        data = dict(GOOD, cause=data)
    with pytest.raises(UnreadablePayload, match="chain"):
        ErrorRecord.from_json(data)


def test_what_a_later_version_adds_is_left_out() -> None:
    assert ErrorRecord.from_json({**GOOD, "later": 1}) == ErrorRecord.from_json(GOOD)


def test_reading_a_record_does_not_import_what_it_names() -> None:
    code = """
import sys
from toolslot._codec import ErrorRecord
record = ErrorRecord.from_json({"type": "tabnanny.NannyNag", "message": "", "args": [], "notes": [], "cause": None, "traceback": ""})
assert record.type_name == "tabnanny.NannyNag"
assert "tabnanny" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
