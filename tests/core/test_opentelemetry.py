"""Batches and calls as spans and metrics: one span each, below the right one, whatever thread the events come from."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from support.harness import World, batch, both, die_inside
from support.telemetry import Telemetry, of
from toolslot import CallTimedOut, Done, InvalidSetting, Limits, NotDone, RunPurged, ToolPolicy
from toolslot.instrumentation._opentelemetry import _names as names
from toolslot.journal import Purge


@pytest.fixture
def seen() -> Telemetry:
    return Telemetry()


# --- spans --------------------------------------------------------------------------------------------------------------


@both
def test_a_batch_has_a_span_and_each_call_one_below_it(
    world: World, seen: Telemetry, run: Callable[..., Any]
) -> None:
    with seen.tracer.start_as_current_span("agent"):
        run(world.executor(hooks=[seen.hook()]), batch("pay", "read"), _tools())
    assert seen.tree() == {
        "agent": None,
        "toolslot.batch": "agent",
        "execute_tool pay": "toolslot.batch",
        "execute_tool read": "toolslot.batch",
    }


def _tools() -> dict[str, Callable[..., Any]]:
    return {"pay": lambda i: f"secret {i}", "read": lambda i: f"secret {i}"}


def test_a_calls_span_follows_the_conventions(world: World, seen: Telemetry) -> None:
    world.executor(hooks=[seen.hook()]).run_all(batch("pay"), _tools())
    span = seen.one("execute_tool pay")
    attributes = of(span)
    assert attributes.pop("toolslot.queue_ms") >= 0
    assert (span.kind, span.status.status_code) == (SpanKind.INTERNAL, StatusCode.UNSET)
    assert attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "pay",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c0",
        "toolslot.run.id": "run-1",
        "toolslot.batch.id": "b-1",
        "toolslot.slot.index": 0,
        "toolslot.attempt": 1,
        "toolslot.outcome": "executed",
    }


def test_a_batchs_span_tells_its_size_and_end(world: World, seen: Telemetry) -> None:
    world.executor(hooks=[seen.hook()]).run_all(batch("pay", "read"), _tools())
    assert of(seen.one("toolslot.batch")) == {
        "toolslot.run.id": "run-1",
        "toolslot.batch.id": "b-1",
        "toolslot.adapter": "core",
        "toolslot.batch.size": 2,
        "toolslot.batch.replayed": 0,
        "toolslot.batch.closed": True,
        "toolslot.epoch": 1,
    }


def test_a_call_that_was_spared_or_refused_for_its_effect_has_a_span_that_says_so(
    world: World, seen: Telemetry
) -> None:
    policies = {"pay": ToolPolicy(effect_key="i")}
    for run, args in (("run-1", {"i": 1}), ("run-2", {"i": 1}), ("run-3", {"i": 1, "more": 2})):
        executor = world.executor(hooks=[seen.hook()], policies=policies)
        executor.run_all(batch("pay", run=run, args=args), _tools(), return_exceptions=True)
    spans = [of(span) for span in seen.spans("execute_tool pay")]
    assert [span["toolslot.outcome"] for span in spans] == ["executed", "deduplicated", "refused"]
    assert [span.get("error.type") for span in spans] == [None, None, "toolslot._errors.EffectConflict"]


@both
def test_neither_arguments_nor_results_are_in_any_span(
    world: World, seen: Telemetry, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")

    def fails(i: str) -> str:
        raise ValueError(f"secret {i}")

    calls = batch("pay", "fails", args={"i": "secret"})
    tools = {**_tools(), "fails": fails}
    for _ in range(2):
        run(world.executor(hooks=[seen.hook()]), calls, tools, return_exceptions=True)
    assert "secret" not in "".join(span.to_json() for span in seen.spans())
    run(world.executor(hooks=[seen.hook(arguments=True)]), calls, tools, return_exceptions=True)
    assert of(seen.spans("execute_tool pay")[-1])[names.TOOL_CALL_ARGUMENTS] == '{"i": "secret"}'


@pytest.mark.parametrize("timeout", [None, 20])
@pytest.mark.parametrize("idempotent", [False, True])
@both
def test_a_span_made_inside_a_sync_tool_is_below_its_call_in_whatever_thread_it_runs(
    world: World, seen: Telemetry, run: Callable[..., Any], timeout: float | None, idempotent: bool
) -> None:
    here, there = threading.get_ident(), set[int]()

    def pay(i: int) -> None:
        there.add(threading.get_ident())
        with seen.tracer.start_as_current_span(f"bank {i}"):
            pass

    policy = ToolPolicy(timeout=timeout, idempotent=idempotent)
    run(
        world.executor(hooks=[seen.hook()], policies={"pay": policy}),
        batch("pay", "pay", "pay"),
        {"pay": pay},
    )
    assert here not in there
    calls = {of(span)["toolslot.slot.index"]: span.context for span in seen.spans("execute_tool")}
    for i in range(3):
        assert seen.one(f"bank {i}").parent == calls[i]
    assert len({span.context.trace_id for span in seen.spans()}) == 1


def test_a_span_made_inside_an_async_tool_is_below_its_call(world: World, seen: Telemetry) -> None:
    together = asyncio.Barrier(3) if sys.version_info >= (3, 11) else None

    async def pay(i: int) -> None:
        with seen.tracer.start_as_current_span(f"bank {i}"):
            if together is not None:
                await together.wait()

    asyncio.run(world.executor(hooks=[seen.hook()]).arun_all(batch("pay", "pay", "pay"), {"pay": pay}))
    calls = {of(span)["toolslot.slot.index"]: span.context for span in seen.spans("execute_tool")}
    assert [seen.one(f"bank {i}").parent for i in range(3)] == [calls[i] for i in range(3)]


@both
def test_nothing_is_left_current_after_a_call(world: World, seen: Telemetry, run: Callable[..., Any]) -> None:
    run(world.executor(hooks=[seen.hook()]), batch("pay"), _tools())
    assert not trace.get_current_span().get_span_context().is_valid
    with world.executor(hooks=[seen.hook()]).open(batch("pay", key="other")) as opened:
        opened.call(0, lambda: None)
        assert not trace.get_current_span().get_span_context().is_valid


def test_where_the_host_gives_each_call_a_span_ours_is_below_it_and_linked_to_the_batch(
    world: World, seen: Telemetry
) -> None:
    with (
        world.executor(hooks=[seen.hook()]).open(batch("pay")) as opened,
        seen.tracer.start_as_current_span("task"),
    ):
        opened.call(0, lambda: None)
    span = seen.one("execute_tool pay")
    assert seen.parent(span) == "task"
    assert [link.context for link in span.links] == [seen.one("toolslot.batch").context]


def test_a_failure_is_told_by_its_type_alone(world: World, seen: Telemetry) -> None:
    def pay(i: int) -> None:
        raise ConnectionRefusedError("secret")

    world.executor(hooks=[seen.hook()]).run_all(batch("pay"), {"pay": pay}, return_exceptions=True)
    span = seen.one("execute_tool pay")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert (of(span)["toolslot.outcome"], of(span)["error.type"]) == ("failed", "ConnectionRefusedError")


def test_an_answer_that_is_a_failure_is_an_error_without_a_type(world: World, seen: Telemetry) -> None:
    with world.executor(hooks=[seen.hook()]).open(batch("pay")) as opened:
        opened.call(0, lambda: "no money", is_error=lambda _: True)
    assert (of(seen.one("execute_tool pay"))["toolslot.outcome"]) == "failed"
    assert of(seen.one("execute_tool pay"))["error.type"] == "_OTHER"


def test_each_attempt_has_a_span(world: World, seen: Telemetry) -> None:
    tries: list[int] = []

    def pay(i: int) -> str:
        tries.append(i)
        if len(tries) < 3:
            raise ConnectionRefusedError
        return "paid"

    policy = ToolPolicy(retry=3)
    world.executor(hooks=[seen.hook()], policies={"pay": policy}).run_all(batch("pay"), {"pay": pay})
    assert [(of(s)["toolslot.attempt"], of(s)["toolslot.outcome"]) for s in seen.spans("execute_tool")] == [
        (1, "failed"),
        (2, "failed"),
        (3, "executed"),
    ]


# --- what happens on resume ---------------------------------------------------------------------------------------------


@both
def test_a_replayed_call_has_a_span_that_says_so_and_the_batch_links_to_the_one_that_ran_it(
    world: World, seen: Telemetry, run: Callable[..., Any]
) -> None:
    run(world.executor(hooks=[seen.hook()]), batch("pay"), _tools())
    (first,) = seen.spans("toolslot.batch")
    run(world.executor(hooks=[seen.hook()]), batch("pay"), _tools())
    ran, again = seen.spans("execute_tool pay")
    assert [of(span)["toolslot.outcome"] for span in (ran, again)] == ["executed", "replayed"]
    second = seen.spans("toolslot.batch")[1]
    assert again.parent == second.context
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert of(second)["toolslot.batch.replayed"] == 1


def test_a_resumed_batch_links_to_the_batch_of_the_owner_that_died(world: World, seen: Telemetry) -> None:
    dead = Telemetry()  # a killed process exports nothing
    die_inside(world, world.executor(hooks=[dead.hook()]))
    policies = {"pay": ToolPolicy(reconcile=lambda _: NotDone())}
    executor = world.executor(hooks=[seen.hook()], policies=policies)
    with executor.open(batch("pay")) as opened:
        opened.call(0, lambda: "paid")
        kept = [tenure.trace for tenure in opened.record.tenures]
    span = seen.one("toolslot.batch")
    (link,) = span.links
    assert kept == [
        f"00-{link.context.trace_id:032x}-{link.context.span_id:016x}-{link.context.trace_flags:02x}",
        f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}",
    ]
    assert link.context.trace_id != span.context.trace_id
    assert [event.name for event in span.events] == ["toolslot.unknown", "toolslot.reconciled"]
    assert dict(span.events[0].attributes or {})["toolslot.reason"] == "owner died"


def test_a_call_that_was_found_to_be_done_is_resolved(world: World, seen: Telemetry) -> None:
    die_inside(world, world.executor(hooks=[]))
    policies = {"pay": ToolPolicy(reconcile=lambda _: Done("receipt"))}
    with world.executor(hooks=[seen.hook()], policies=policies).open(batch("pay")) as opened:
        assert opened.call(0, str) == "receipt"
    assert of(seen.one("execute_tool pay"))["toolslot.outcome"] == "resolved"


def test_a_batch_that_was_adopted_is_told_under_its_first_name(world: World, seen: Telemetry) -> None:
    first, fork = (batch("pay", key=key, lineage="response") for key in ("b-1", "fork"))
    die_inside(world, world.executor(hooks=[]), lineage="response")
    world.executor(hooks=[seen.hook()]).run_all(fork, _tools())
    assert of(seen.one("toolslot.batch"))["toolslot.batch.id"] == first.batch_id
    assert seen.one("execute_tool pay").parent == seen.one("toolslot.batch").context


def test_a_batch_that_could_not_be_opened_has_a_span_that_says_so(world: World, seen: Telemetry) -> None:
    world.executor(hooks=[]).run_all(batch("pay"), _tools())
    executor = world.executor(hooks=[seen.hook()])
    executor.journal.submit(Purge(run_id="run-1", at=0.0, why="over")).result(5)
    with pytest.raises(RunPurged):
        executor.run_all(batch("pay"), _tools())
    assert seen.one("toolslot.batch").status.status_code is StatusCode.ERROR


def test_a_text_in_the_journal_that_is_no_trace_is_left_alone(world: World, seen: Telemetry) -> None:
    class Odd:
        def opening(self, *_: object) -> str:
            return "00-x; rm -rf"

        def __call__(self, event: object) -> None: ...

    world.executor(hooks=[Odd()]).run_all(batch("pay"), _tools())
    world.executor(hooks=[seen.hook()]).run_all(batch("pay"), _tools())
    assert not seen.one("toolslot.batch").links


def test_a_call_that_overstays_its_timeout_is_unknown_and_its_late_result_is_noted(
    world: World, seen: Telemetry
) -> None:
    go = threading.Event()

    def pay(i: int) -> str:
        assert go.wait(20)
        return "paid"

    executor = world.executor(hooks=[seen.hook(), world.events], policies={"pay": ToolPolicy(timeout=0.01)})
    with seen.tracer.start_as_current_span("agent"):
        (error,) = executor.run_all(batch("pay"), {"pay": pay}, return_exceptions=True)
    assert isinstance(error, CallTimedOut)
    assert not seen.spans("toolslot.batch")
    go.set()
    assert executor.drain(20)
    attributes = of(seen.one("execute_tool pay"))
    assert (attributes["toolslot.outcome"], attributes["error.type"]) == ("unknown", "timeout")
    span = seen.one("toolslot.batch")  # ended by the thread that ran on
    assert seen.parent(span) == "agent"
    assert [event.name for event in span.events] == ["toolslot.timed_out", "toolslot.late_result"]


# --- no second span -----------------------------------------------------------------------------------------------------

MARKS: list[tuple[str, dict[str, Any]]] = [
    ("execute_tool pay", {}),
    ("anything", {"gen_ai.operation.name": "execute_tool"}),
    ("anything", {"openinference.span.kind": "TOOL"}),
    ("anything", {"traceloop.span.kind": "tool"}),
]


@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize(("name", "attributes"), MARKS)
def test_a_tools_span_that_is_there_already_gets_our_attributes_and_no_second_one_is_made(
    world: World, seen: Telemetry, name: str, attributes: dict[str, Any], replay: bool
) -> None:
    if replay:
        world.executor(hooks=[]).run_all(batch("pay"), _tools())
    run = world.executor(hooks=[seen.hook()]).open(batch("pay"))
    with run as opened, seen.tracer.start_as_current_span(name, attributes=attributes):
        opened.call(0, lambda: None)
    assert seen.names() == sorted([name, "toolslot.batch"])
    assert of(seen.one(name))["toolslot.outcome"] == ("replayed" if replay else "executed")
    assert of(seen.one(name))["toolslot.slot.index"] == 0


@both
def test_calls_that_a_tool_runs_have_spans_of_their_own_below_that_of_the_tool(
    world: World, seen: Telemetry, run: Callable[..., Any]
) -> None:
    executor = world.executor(hooks=[seen.hook()])

    def agent(i: int) -> Any:
        return executor.run_all(batch("pay", run="inner"), _tools())

    for _ in range(2):
        run(executor, batch("agent"), {"agent": agent})
    assert of(seen.spans("execute_tool agent")[0])["toolslot.run.id"] == "run-1"
    (pay,) = seen.spans("execute_tool pay")
    inner = next(span for span in seen.spans("toolslot.batch") if pay.parent == span.context)
    assert (of(inner)["toolslot.run.id"], seen.parent(inner)) == ("inner", "execute_tool agent")


@pytest.mark.parametrize(("spans", "expected"), [("always", 2), ("never", 1)])
def test_spans_of_calls_can_be_asked_for_and_declined(
    world: World, seen: Telemetry, spans: Any, expected: int
) -> None:
    run = world.executor(hooks=[seen.hook(spans=spans)]).open(batch("pay"))
    with run as opened, seen.tracer.start_as_current_span("execute_tool pay"):
        opened.call(0, lambda: None)
    assert len(seen.spans("execute_tool pay")) == expected
    assert len(seen.spans("toolslot.batch")) == 1


def test_a_call_without_a_span_is_an_event_of_its_batch(world: World, seen: Telemetry) -> None:
    world.executor(hooks=[seen.hook(spans="never")]).run_all(batch("pay"), _tools())
    (event,) = seen.one("toolslot.batch").events
    told = dict(event.attributes or {})
    assert (event.name, told["gen_ai.tool.name"], told["toolslot.outcome"]) == (
        "toolslot.call",
        "pay",
        "executed",
    )


def test_an_unknown_choice_of_spans_is_refused(seen: Telemetry) -> None:
    with pytest.raises(InvalidSetting, match="'sometimes'"):
        seen.hook(spans="sometimes")


# --- metrics ------------------------------------------------------------------------------------------------------------


@both
def test_latency_queue_time_and_replays_are_measured_by_tool(
    world: World, seen: Telemetry, run: Callable[..., Any]
) -> None:
    def fails(i: int) -> None:
        raise ValueError

    calls, tools = batch("pay", "pay", "fails"), {**_tools(), "fails": fails}
    for _ in range(2):
        hooks = [seen.hook()]
        run(
            world.executor(
                hooks=hooks, default_policy=ToolPolicy(on_failed="replay"), limits=Limits(batch=1)
            ),
            calls,
            tools,
            return_exceptions=True,
        )
    pay, operation = {"gen_ai.tool.name": "pay"}, {"gen_ai.operation.name": "execute_tool"}
    failed = {"gen_ai.tool.name": "fails", "error.type": "ValueError"}
    assert seen.points("gen_ai.execute_tool.duration") == [(operation | pay, 2), (operation | failed, 1)]
    assert seen.points("toolslot.queue.duration") == [(pay, 2), ({"gen_ai.tool.name": "fails"}, 1)]
    assert seen.points("toolslot.calls.replayed") == [(pay, 2), ({"gen_ai.tool.name": "fails"}, 1)]
    assert [value for _, value in seen.points("toolslot.calls.running")] == [0, 0]
    assert seen.points("toolslot.calls.unknown") == []


def test_calls_of_unknown_outcome_are_counted_with_their_reason(world: World, seen: Telemetry) -> None:
    die_inside(world, world.executor(hooks=[]))
    world.executor(hooks=[seen.hook()]).run_all(batch("pay"), _tools())
    assert seen.points("toolslot.calls.unknown") == [
        ({"gen_ai.tool.name": "pay", "toolslot.reason": "owner died"}, 1)
    ]


# --- without the extra --------------------------------------------------------------------------------------------------


def test_without_opentelemetry_the_hook_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import toolslot.instrumentation

    for module in [
        name for name in sys.modules if name.startswith("toolslot.instrumentation._opentelemetry")
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pip install 'toolslot\[otel\]'"):
        toolslot.instrumentation.OpenTelemetryHook  # noqa: B018
