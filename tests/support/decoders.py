"""Everything that turns stored bytes into something, as functions from bytes: for fuzzing.

Whatever the bytes are, a decoder gives a value or a `ToolslotError`. `SEEDS` are bytes that were really written.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import ToolOutput, ToolSelection

from toolslot import BatchKey, Encryption, JsonCodec, ToolslotError
from toolslot._codec import ErrorRecord, Payload, decode, encode_error
from toolslot._domain._effect_names import EffectMark
from toolslot._domain._effects import Effect, Forgotten, Holder, Purged
from toolslot._domain._identity import Owner, OwnerState, ProcessIdentity
from toolslot._domain._slot import (
    Decided,
    Deduplicated,
    Fence,
    Finished,
    Manifest,
    Refused,
    Row,
    SlotPlace,
    SlotSpec,
    SlotState,
    Started,
    Tenure,
    Verdict,
)
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import dumps, parse
from toolslot.journal._disk._key_row import first_row, secrecy_for_reading
from toolslot.journal._disk._loading import head_to_json, load
from toolslot.journal._disk._reads import key_of_index
from toolslot.journal._disk._seal import seal, unseal
from toolslot.journal._disk._table import Reader
from toolslot.journal._doctor._pages import found_rows
from toolslot.journal._format import _row_codec as rows
from toolslot.journal._format._effect_codec import effect_from_json, effect_to_json
from toolslot.journal._format._secrecy import Secrecy
from toolslot_langgraph._codec import LangGraphCodec
from toolslot_llamaindex._codec import Answer, LlamaIndexCodec
from toolslot_llamaindex._records import RunRecord, TurnRecord

Decoder = Callable[[bytes], object]

_KEY = BatchKey("run", "batch")
_PREFIX = keys.batch_prefix(_KEY)
_ENCRYPTION = Encryption([bytes(32)])


class _Rows(Reader):
    """A journal's rows that stand in memory, each with a seal that fits."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        super().__init__(sqlite3.connect(":memory:"))
        self._rows = {key: seal(key, body) for key, body in bodies.items()}

    def raw(self, key: str) -> bytes | None:
        return self._rows.get(key)

    def scan_raw(self, bounds: tuple[str, str]) -> list[tuple[str, bytes]]:
        return [(key, value) for key, value in sorted(self._rows.items()) if bounds[0] <= key < bounds[1]]


def _batch(data: bytes, secrecy: Secrecy | None = None) -> object:
    """The whole of a batch: the parts of `data`, at NUL bytes, are its rows. A part that is left out is sound."""
    names = [
        _PREFIX + "#m",
        _PREFIX + "#f",
        _PREFIX + f"{1:08}",
        _PREFIX + "#a",
        keys.chunk(_PREFIX + "#m", "0" * 32, 0),
    ]
    parts = dict(zip(names, data.split(b"\0"), strict=False))
    reader = _Rows(
        {name: body or _SOUND.get(name, b"") for name, body in parts.items() if body or name in _SOUND}
    )
    if secrecy is not None:
        reader.secrecy = secrecy
    found = load(reader, _KEY)
    return (
        found.state.record(OwnerState.DEAD)
        if found is not None and not isinstance(found, BatchKey)
        else found
    )


def _any_row(data: bytes) -> object:
    parsed = parse(data)
    last: object = None
    readers: Iterable[Callable[[object], object]] = (
        rows.row_from_json,
        rows.manifest_from_json,
        rows.fence_from_json,
        rows.tenure_from_json,
        rows.key_from_json,
        rows.payload_from_json,
        lambda value: Secrecy(lenient=True).reveal_row(_KEY, value),
        lambda value: Secrecy(_ENCRYPTION.cipher(), plain=False).reveal_head(_KEY, value),
        ErrorRecord.from_json,
        Owner.from_json,
        effect_from_json,
        lambda value: effect_from_json(Secrecy(lenient=True).reveal_effect("0" * 64, value)),
    )
    for read in readers:
        try:
            last = read(parsed)
        except ToolslotError:
            continue
    return last


def _value(data: bytes) -> object:
    value = _VALUES.decode(data)
    decode(Payload(codec="text/1", data=data), {})
    with suppress(ToolslotError):
        decode(Payload(codec="content/1", data=data), {})
    return value


def _sealed(data: bytes) -> object:
    return unseal("key", data)


def _encryption_row(data: bytes) -> object:
    return secrecy_for_reading(_Rows({keys.ENCRYPTION: data}), _ENCRYPTION, place="somewhere")


def _index_row(data: bytes) -> object:
    name, _, body = data.partition(b"\0")
    return key_of_index("i/" + name.decode("latin-1"), body or None)


def _pages(data: bytes) -> object:
    return sum(1 for _ in found_rows(data, 512))


_VALUES = JsonCodec()
_LANGGRAPH = LangGraphCodec()
_LLAMAINDEX = LlamaIndexCodec()

DECODERS: dict[str, Decoder] = {
    "value": _value,
    "row": _any_row,
    "batch": _batch,
    "locked batch": lambda data: _batch(data, Secrecy(lenient=True)),
    "unlocked batch": lambda data: _batch(data, Secrecy(_ENCRYPTION.cipher(), "scope")),
    "seal": _sealed,
    "encryption row": _encryption_row,
    "row of the list": _index_row,
    "pages": _pages,
    "langgraph": _LANGGRAPH.decode,
    "llamaindex": _LLAMAINDEX.decode,
    "llamaindex run": lambda data: RunRecord.decode(data),
    "llamaindex turn": lambda data: TurnRecord.decode(data, _LLAMAINDEX.values),
    "llamaindex value": _LLAMAINDEX.values.decode,
}


# --- seeds --------------------------------------------------------------------------------------------------------------

_PROCESS = ProcessIdentity(host="h", pid=7, started=1.0, token="t")
_OWNER = Owner(process=_PROCESS, token="o")
_PAYLOAD = Payload(codec="tagged-json/1", data=b'j{"a":1}')
_BASE: dict[str, Any] = {"index": 0, "generation": 1, "attempt": 1, "epoch": 1, "at": 1.0}
_MANIFEST = Manifest(
    key=_KEY,
    specs=(SlotSpec(index=0, tool="t", call_id="c", digest="d", args=_PAYLOAD),),
    created=1.0,
    lineage="l",
    payload=b"p",
)
_TENURE = Tenure(epoch=1, owner=_OWNER, at=1.0, why="reserved")
_STORED_ROWS = [
    rows.row_to_json(row)
    for row in (
        Started(**_BASE, queued_at=1.0),
        Finished(**_BASE, outcome=_PAYLOAD, error=encode_error(ValueError("x")), failed=True),
        Decided(**_BASE, verdict=Verdict.DONE, by="b", why="w", decision_id="d", version=1, outcome=_PAYLOAD),
    )
]
_SOUND = {
    _PREFIX + "#m": dumps(head_to_json(_MANIFEST, _TENURE)),
    _PREFIX + "#f": dumps(
        {"fence": rows.fence_to_json(Fence(epoch=1, owner=_OWNER)), "segments": 1, "rows": 3}
    ),
    _PREFIX + f"{1:08}": dumps(_STORED_ROWS),
}
_OUTPUT = ToolOutput(
    blocks=[ImageBlock(image=base64.b64encode(b"GIF89a"))],
    tool_name="t",
    raw_input={"args": (), "kwargs": {"i": 1}},
    raw_output={"a": (1, b"x")},
)
_MESSAGE = ChatMessage(role="user", content="go")
_REFERENCE = dumps({"chunks": {"digest": "0" * 32, "count": 2, "size": 9}})


def _hidden(key: str) -> dict[str, object]:
    return {**_STORED_ROWS[1], "outcome": {"key": key, "hidden": "\u00e9"}}


def _changed_row(row: object) -> bytes:
    return b"\0\0" + dumps([row])


def _turn() -> bytes:
    calls = [ToolSelection(tool_id="1", tool_name="t", tool_kwargs={"i": 1})]
    output = AgentOutput(response=_MESSAGE, tool_calls=calls, current_agent_name="a")
    return TurnRecord(output=output).encode(_LLAMAINDEX.values).data


def _langgraph_seeds() -> list[bytes]:
    from langchain_core.messages import ToolMessage
    from langgraph.types import Command, Send

    message = ToolMessage("text", tool_call_id="c", name="t", artifact={"a": {1, 2}})
    values = [
        message,
        Command(update={"messages": [message]}, goto=[Send("n", {"a": 1})]),
        [message],
        {"a": b"x"},
    ]
    return [_LANGGRAPH.encode(value) for value in values]


_PLACE = SlotPlace(_KEY, 0, 1)
_EFFECT = Effect(
    digest="0" * 64,
    name="pay",
    key='["a",1]',
    run_id=None,
    idempotency_key="ts_0",
    holder=Holder(place=_PLACE, attempt=1),
    claims=1,
    compared=None,
    at=1.0,
    ttl=2.0,
    forgotten=(Forgotten(at=0.5, by="ann", why="it bounced"),),
    purged=Purged(state=SlotState.FAILED, ended_at=1.5, error=encode_error(ValueError("x"))),
)
_SPARED: tuple[Row, ...] = (
    Deduplicated(
        index=0,
        generation=1,
        attempt=0,
        epoch=1,
        at=1.0,
        holder=_PLACE,
        effect=EffectMark("0" * 64, "ts_0"),
        outcome=Payload(codec="content/1", data=b'["paid",null,false]'),
    ),
    Refused(index=0, generation=1, attempt=0, epoch=1, at=1.0, error=encode_error(ValueError("x"))),
)

SEEDS: dict[str, list[bytes]] = {
    "value": [
        _VALUES.encode(value) for value in (None, "text", b"x", {"a": [1, 2.5]}, [{1, 2}, (3,), 10**700, 1j])
    ],
    "row": [
        *(json.dumps(row).encode() for row in _STORED_ROWS),
        dumps(rows.manifest_to_json(_MANIFEST)),
        dumps(effect_to_json(_EFFECT)),
        *(dumps(rows.row_to_json(row)) for row in _SPARED),
    ],
    "batch": [
        b"\0\0",
        b"\0".join(_SOUND.values()),
        _REFERENCE + b"\0\0\0\0[1]",
        b"\0\0[" + _REFERENCE + b"]",
    ],
    "unlocked batch": [b"\0\0", *(_changed_row(_hidden(key)) for key in ("k", _ENCRYPTION.cipher().current))],
    "locked batch": [
        b'\0\0[{"kind":"finished","outcome":{"key":"k","hidden":"YQ=="}}]',
        b"\0".join(_SOUND.values()),
    ],
    "seal": [seal("key", b"body")],
    "encryption row": [
        *first_row(_ENCRYPTION).values(),
        # a key that is known, and base64 that is not even ASCII
        dumps({"key": _ENCRYPTION.cipher().current, "digest_key": "\u00e9", "scope": "", "plain": True}),
    ],
    "row of the list": [b"run/batch", b"%%00/x\0" + dumps(["run", "batch"])],
    "pages": [b"\x0d" + bytes(511)],
    "langgraph": _langgraph_seeds(),
    "llamaindex": [_LLAMAINDEX.encode(Answer(output=_OUTPUT)), _LLAMAINDEX.encode({"decided": 1})],
    "llamaindex run": [
        RunRecord(agent=None, question="q", memory=_LLAMAINDEX.values.encode([[_MESSAGE], []])).encode()
    ],
    "llamaindex turn": [_turn()],
    "llamaindex value": [
        _LLAMAINDEX.values.encode(value) for value in ([_MESSAGE], {"a": Path("x")}, {1: {2}})
    ],
}


def run(name: str, data: bytes) -> None:
    """Decode; anything else than a `ToolslotError` comes out."""
    with suppress(ToolslotError):
        DECODERS[name](data)


def write_corpus(folder: Path, names: Iterable[str]) -> None:
    """One file for each seed, with the number of its decoder before it."""
    order = list(DECODERS)
    for name in names:
        for number, seed in enumerate(SEEDS[name]):
            (folder / f"{order.index(name)}-{number}").write_bytes(bytes([order.index(name)]) + seed)
