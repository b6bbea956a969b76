"""Crafted values that would eat memory or time: an error within bounds, in a process that may not take more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.batches import reserve
from support.doctoring import seal
from toolslot.journal import DiskJournal
from toolslot.journal._disk._chunks import CHUNK, dumps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")

#: address space, which is more than memory; seconds of processor time
MEBIBYTES, SECONDS = 700, 60

LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEBIBYTES} << 20, {MEBIBYTES} << 20))
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
from toolslot import ToolslotError
def refused(work):
    try:
        work()
    except ToolslotError as error:
        print(type(error).__name__, error)
"""

SIZE = 12 * 2**20
VALUES = {
    "lists": f"b'j[' + b'[],' * ({SIZE} // 3) + b'1]'",
    "objects": f"""b't[' + b'{{"":0}},' * ({SIZE} // 7) + b'1]'""",
    "tagged values": f"""b't[' + b'{{"$":"set","v":[]}},' * ({SIZE} // 19) + b'1]'""",
    "depth": f"b'j' + b'[' * {SIZE}",
    "depth behind escapes": f"""b'j["' + b'\\\\\\\\"' * ({SIZE} // 4) + b'",' + b'[' * 300""",
    "digits": f"b'j' + b'9' * {SIZE}",
    "too large": f"b's' * ({SIZE} * 2)",
}


def limited(code: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED + code, *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


PARTS, DEPTH = "more parts than are allowed", "nested deeper"
WHY = dict.fromkeys(VALUES, PARTS) | {
    "depth": DEPTH,
    "depth behind escapes": DEPTH,
    "digits": "is damaged",
    "too large": "takes",
}


def test_values_that_would_take_a_multiple_of_their_size_are_refused_before_they_are_parsed() -> None:
    code = "from toolslot._codec import JsonCodec\nc = JsonCodec(max_bytes=16 * 2**20)\n"
    for data in VALUES.values():
        code += f"data = {data}\nrefused(lambda: c.decode(data))\n"
    for line, (name, why) in zip(limited(code).splitlines(), WHY.items(), strict=True):
        assert line.startswith("UnreadablePayload"), name
        assert why in line, name


def test_a_value_with_millions_of_parts_is_not_stored_either() -> None:
    """Else it would be stored and never read again."""
    code = "from toolslot._codec import JsonCodec\nrefused(lambda: JsonCodec().encode([[]] * 1_000_000))"
    assert "millions of parts" in limited(code)


def test_many_numbers_are_stored_and_read_within_the_same_limits() -> None:
    code = "from toolslot._codec import JsonCodec\nc = JsonCodec()\nprint(len(c.decode(c.encode([0.5] * 2_000_000))))"
    assert limited(code) == "2000000\n"


# --- LangGraph's msgpack ------------------------------------------------------------------------------------------------

MSGPACK = f"""
def array(data, count): return b'\\xdd' + count.to_bytes(4, 'big') + data * count
def ext(data): return b'\\xc9' + len(data).to_bytes(4, 'big') + b'\\7' + data
def nested(levels, lists, data=b'\\1'):
    for _ in range(levels):
        data = b'\\x91' * lists + ext(data)
    return data
def plain(data): return b'\\x93\\1\\xa5plain' + data
SIZE = {SIZE}
"""
BOMBS = {
    "lists": "array(b'\\x90', SIZE)",
    "maps": "array(b'\\x80', SIZE)",
    "maps of one": "array(b'\\x81\\1\\1', SIZE // 3)",
    "numbers": "array(b'\\1', SIZE)",
    "texts": "array(b'\\xa1a', SIZE)",
    "lists in an extension": "ext(array(b'\\x90', SIZE))",
    "lists behind an extension that is cut short": "b'\\x92' + ext(b'\\x92') + array(b'\\x90', SIZE)",
    "lists in a long list that is none": "b'\\xdd' + b'\\xff' * 4 + b'\\x90' * SIZE",
    "extensions": "array(b'\\xd4\\7\\1', SIZE // 3)",
    "extensions in one another, each copied": "nested(150, 0, b'\\xc6' + SIZE.to_bytes(4, 'big') + bytes(SIZE))",
    "levels that no parser counts, for it counts anew in each extension": "nested(60, 1000)",
    "depth": "b'\\x91' * SIZE + b'\\1'",
}


def test_msgpack_that_would_take_a_multiple_of_its_size_or_the_stack_is_refused_before_it_is_parsed() -> None:
    pytest.importorskip("langgraph")
    code = f"from toolslot_langgraph import LangGraphCodec\n{MSGPACK}\n"
    for data in BOMBS.values():
        code += f"data = plain({data})\nrefused(lambda: LangGraphCodec().decode(data))\n"
    for line, name in zip(limited(code).splitlines(), BOMBS, strict=True):
        assert line.startswith("UnreadablePayload"), name
        assert "more parts or levels than are allowed" in line, name


def test_messages_with_millions_of_parts_or_hundreds_of_levels_are_kept_as_text() -> None:
    """Else they would be stored and never read again."""
    pytest.importorskip("langgraph")
    from langchain_core.messages import ToolMessage

    from toolslot import NotStorable
    from toolslot_langgraph import LangGraphCodec

    deep: list[object] = [{n} for n in range(5)]
    for _ in range(220):
        deep = [deep]
    for artifact in ([[]] * 1_100_000, deep):
        message = ToolMessage("text", tool_call_id="c", artifact=artifact)
        with pytest.raises(NotStorable, match="millions of parts or hundreds of levels") as caught:
            LangGraphCodec().encode(message)
        assert getattr(caught.value, "text", None) == "text"


@pytest.mark.parametrize(
    "artifact",
    [
        [0.5] * 1_000_000,
        bytes(range(256)) * 50_000,
        "\u4e2d\u0752" * 3_000_000,
        [[n, "x"] for n in range(90_000)],
    ],
    ids=["numbers", "bytes", "text", "lists"],
)
def test_large_messages_within_the_bounds_come_back(artifact: object) -> None:
    pytest.importorskip("langgraph")
    from langchain_core.messages import ToolMessage

    from toolslot_langgraph import LangGraphCodec

    codec = LangGraphCodec()
    back = codec.decode(codec.encode(ToolMessage("text", tool_call_id="c", artifact=artifact)))
    assert isinstance(back, ToolMessage)
    assert back.artifact == artifact


# --- in the files of a journal ------------------------------------------------------------------------------------------

LOAD = """
from toolslot import BatchKey, DiskJournal
from toolslot.journal import examine
with DiskJournal.open(sys.argv[1]) as journal:
    refused(journal.load(BatchKey("run", "batch")).result)
    print(examine(journal.location).sound)
"""


def planted(root: Path, rows: dict[str, bytes], *, replaced: bool = True) -> None:
    """Rows with checksums that fit, beside those of a real batch."""
    import sqlite3
    from contextlib import closing

    with DiskJournal.open(root) as journal:
        reserve(journal).run(0)
    with closing(sqlite3.connect(root / "db" / "cache.db")) as connection, connection:
        for key, body in rows.items():
            connection.execute("DELETE FROM Cache WHERE key = ?", (key,))
            connection.execute(
                "INSERT INTO Cache(key, raw, store_time, access_time, mode, value) VALUES (?, 1, 0, 0, 1, ?)",
                (key, seal(key, body)),
            )


def reference(digest: str, count: int, size: int) -> bytes:
    return dumps({"chunks": {"digest": digest, "count": count, "size": size}})


ROWS = {
    "a row of nothing but lists": {"b/run/batch/00000001": b"[" + b"[]," * 3_000_000 + b"1]"},
    "a row as deep as it is long": {"b/run/batch/00000001": b"[" * 3_000_000},
    "a number without end": {"b/run/batch/#f": b'{"fence":1,"segments":' + b"9" * 3_000_000 + b',"rows":1}'},
    "a count of parts without end": {
        "b/run/batch/00000001": b"[" + reference("0" * 32, 10**18, 10**18) + b"]"
    },
    "a negative count": {"b/run/batch/00000001": b"[" + reference("0" * 32, -1, -1) + b"]"},
}


@pytest.mark.parametrize("name", ROWS)
def test_a_crafted_row_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    planted(tmp_path / "journal", ROWS[name])
    said = limited(LOAD, str(tmp_path / "journal"))
    assert said.startswith("JournalCorrupt")
    assert said.endswith("False\n")


def test_a_large_value_that_many_rows_refer_to_is_read_once(tmp_path: Path) -> None:
    """A thousand references to eight megabytes would be eight gigabytes."""
    from hashlib import blake2b

    row = {
        "kind": "evidence",
        "index": 0,
        "generation": 1,
        "attempt": 1,
        "epoch": 1,
        "at": 0.0,
        "error": None,
        "failed": False,
    }
    body = dumps({**row, "outcome": {"codec": "tagged-json/1", "text": "s" + "x" * 8 * 2**20}})
    digest = blake2b(body, digest_size=16).hexdigest()
    count = -(-len(body) // CHUNK)
    rows = {f"b/run/batch/~{digest}.{n:05}": body[n * CHUNK : (n + 1) * CHUNK] for n in range(count)}
    rows["b/run/batch/00000001"] = b"[" + b",".join([reference(digest, count, len(body))] * 1000) + b"]"
    planted(tmp_path / "journal", rows)
    said = limited(LOAD, str(tmp_path / "journal"))
    assert said.startswith("JournalCorrupt")
    assert said.endswith("False\n")


@pytest.mark.parametrize("name", ["llamaindex", "llamaindex turn", "llamaindex run"])
def test_records_of_llamaindex_are_weighed_too(name: str) -> None:
    pytest.importorskip("llama_index.core")
    from support import decoders

    with pytest.raises(decoders.ToolslotError, match="more parts"):
        decoders.DECODERS[name](b'{"v":1,"blocks":[' + b"[]," * 2_000_000 + b"1]}")
