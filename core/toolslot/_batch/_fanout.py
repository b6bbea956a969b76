"""Fanning a batch out for people without a framework: threads or tasks, all settle, results in call order."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

from toolslot._batch._batch_run import BatchRun
from toolslot._domain._slot import Batch, Call
from toolslot._errors import InvalidArguments, InvalidSetting
from toolslot._text import quoted

Tools: TypeAlias = Mapping[str, Callable[..., Any]]


def bind_all(batch: Batch, tools: Tools) -> list[Callable[[], Any]]:
    """Each call's code with its arguments.

    Raises:
        InvalidSetting: a call names a tool that is not there.
    """
    for index, call in enumerate(batch.calls):
        if call.tool not in tools:
            known = ", ".join(sorted(tools)) or "none"
            raise InvalidSetting(
                f"call {index} of batch {batch.key} asks for tool {quoted(call.tool)}, which is not among the given ones ({known})."
                " Nothing ran."
            )
    signatures = {tool: _signature(tools[tool]) for tool in {call.tool for call in batch.calls}}
    return [partial(_invoke, tools[call.tool], signatures[call.tool], call) for call in batch.calls]


def _signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(fn)
    except ValueError:
        return None  # a built-in without one: calling it will tell


def _invoke(fn: Callable[..., Any], signature: inspect.Signature | None, call: Call) -> Any:
    try:
        if signature is not None:
            signature.bind(**call.args)
    except TypeError as error:
        raise InvalidArguments(
            f"the arguments do not fit tool {quoted(call.tool)}: {error}. It was not entered."
        ) from error
    return fn(**call.args)


async def afan_out(
    run: BatchRun,
    fns: Sequence[Callable[[], Any]],
    asyncs: Sequence[bool],
    *,
    workers: int,
    offload: Executor | None,
) -> list[Any]:
    """Every call's result or exception, in call order, once all have settled and are recorded.

    In tasks of the running loop. Cancelling it cancels every call that can be cancelled.
    """
    threads: ThreadPoolExecutor | None = None
    if offload is None and not all(asyncs):
        # The loop's own executor is a shared, small one: sync tools of one batch would wait for strangers.
        threads = ThreadPoolExecutor(workers, thread_name_prefix="toolslot")
    try:
        outcomes = await asyncio.gather(
            *(
                run.acall(i, fn, held=True)
                if asyncs[i]
                else run.acall(i, fn, offload=offload or threads, held=True)
                for i, fn in enumerate(fns)
            ),
            return_exceptions=True,
        )
        for index, error in (await run.arecord_held()).items():
            outcomes[index] = error
        return outcomes
    finally:
        if threads is not None:
            # Not waited for: threads that overstay a timeout end by themselves, and are recorded then.
            threads.shutdown(wait=False)
