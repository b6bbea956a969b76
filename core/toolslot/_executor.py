"""The front door of the core: a journal, policies, limits and hooks, and batches opened on them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from copy import copy
from dataclasses import replace
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from toolslot._batch._batch_run import BatchRun
from toolslot._batch._crew import settle
from toolslot._batch._engine import Engine
from toolslot._batch._fanout import Tools, afan_out, bind_all
from toolslot._batch._hooks import Hooks
from toolslot._batch._pool import process_pool
from toolslot._batch._registry import registry_of
from toolslot._batch._reserving import Kept
from toolslot._batch._steps import is_async
from toolslot._codec import Codec, Contents, JsonCodec
from toolslot._domain._events import Hook
from toolslot._domain._plan import may_try_again
from toolslot._domain._policy import Limits, ToolPolicy, check_count
from toolslot._domain._retry import delay_after
from toolslot._domain._slot import Batch, SlotRecord
from toolslot._errors import InvalidSetting
from toolslot._text import quoted
from toolslot.instrumentation import LoggingHook
from toolslot.journal import Adopt, Journal, MemoryJournal, open_journal

JournalLike: TypeAlias = "str | os.PathLike[str] | Journal | None"


class DurableExecutor:
    """Runs batches of tool calls so that they survive the process.

    Within its batch, a call whose result is recorded never runs again; a call that never started simply runs; a call that started and left
    no record follows its tool's policy. An effect happens at most once only with `on_unknown="fail"` or `"ask"`, or with a correct
    reconciler. Excepted are tools with `on_resume="rerun"`.

    Args:
        journal: A path, an address, a `Journal`, or None: the environment variable `TOOLSLOT_HOME`, else `./.toolslot`.
            Opened at first use.
        policies: What is known about each tool, by name.
        default_policy: For every other tool. Default: `ToolPolicy()`, which reruns and warns.
        limits: How many calls may run at once, and for how long.
        hooks: Called with every event. Default: one `LoggingHook`.
        codec: How results are stored, where a tool's policy names no codec. Default: tagged JSON.
        on_mismatch: "strict" raises `BatchMismatch` when another call is recorded at a place; "lenient" lets the new call take it.
        executor: Where `run_all` and `arun_all` run sync tools, instead of threads: any `concurrent.futures.Executor`. Not shut down here.
        pauses: Exception types by which a tool stops at a question to a human.
        cancels: Exception types that mean "cancelled", beside `asyncio.CancelledError`.
        contents: How the host's results are told in its own form and in a form that every host reads, for results of calls with an effect
            key that another run or host gets. Default: results are the tools' own values.
        lossy_replay: Replay the text that is left of a result that could not be stored, instead of raising `ResultNotStorable`.

    Raises:
        InvalidSetting: an argument that means nothing.
    """

    def __init__(
        self,
        journal: JournalLike = None,
        *,
        policies: Mapping[str, ToolPolicy] | None = None,
        default_policy: ToolPolicy | None = None,
        limits: Limits | None = None,
        hooks: Sequence[Hook] | None = None,
        codec: Codec | None = None,
        on_mismatch: Literal["strict", "lenient"] = "strict",
        executor: Executor | None = None,
        pauses: tuple[type[BaseException], ...] = (),
        cancels: tuple[type[BaseException], ...] = (),
        contents: Contents | None = None,
        lossy_replay: bool = False,
    ) -> None:
        if on_mismatch not in ("strict", "lenient"):
            raise InvalidSetting(f"on_mismatch={on_mismatch!r} is not known: choose 'strict' or 'lenient'.")
        if not (journal is None or isinstance(journal, (str, os.PathLike)) or hasattr(journal, "submit")):
            raise InvalidSetting(
                f"journal= is a {type(journal).__name__}: give a directory's path, an address, a Journal, or None for"
                " TOOLSLOT_HOME or ./.toolslot."
            )
        self._journal_like = journal
        self._policies = dict(policies or {})
        self._default_policy = default_policy if default_policy is not None else ToolPolicy()
        self._limits = limits if limits is not None else Limits()
        self._hooks = Hooks(hooks if hooks is not None else (LoggingHook(),))
        self._codec = codec if codec is not None else JsonCodec()
        self._strict = on_mismatch == "strict"
        self._offload = executor
        self._pauses, self._cancels = pauses, cancels
        self._contents = contents
        self._lossy_replay = lossy_replay
        self._draining = threading.Event()
        self._lock = threading.Lock()
        self._engine_: Engine | None = None
        self._origin: DurableExecutor | None = None

    def with_policies(self, policies: Mapping[str, ToolPolicy]) -> DurableExecutor:
        """An executor with these policies too, where none is given here: for hosts that learn late which tools there are.

        It shares all else with this one: the journal, and `drain()` of this one stops both.
        """
        other = copy(self)
        other._policies = {**policies, **self._policies}
        other._lock = threading.Lock()
        other._engine_ = None
        other._origin = self
        return other

    # --- batches --------------------------------------------------------------------------------------------------------

    def open(
        self,
        batch: Batch,
        *,
        max_parallel: int | None = None,
        durable: bool = True,
        adopt: Adopt = Adopt.UNFINISHED,
        kept: Kept | None = None,
        partial: bool = False,
        answered: Collection[int] = (),
        entering: Collection[int] = (),
    ) -> BatchRun:
        """A `BatchRun`; nothing happens until it is entered with `with` or `async with`. That opens the journal, in a thread where it is
        awaited, and reserves the slots.

        Args:
            batch: The calls, in the model's order, and where they belong.
            max_parallel: One more limit for this batch, from the host.
            durable: False keeps the slots in memory only, under a run id of their own: for hosts that offer no identity to resume by.
                Batches with calls that have an effect key are in the journal all the same, so that these effects are known.
            adopt: What to do with an earlier batch of the same lineage.
            kept: Whether the host has kept the answers of that batch, asked when all of them were handed over and `adopt` would leave it
                alone. Those of a host that died before it saved them are lost to it: the batch is then taken over as if it were unfinished.
                Default: they were kept.
            partial: Several `BatchRun`s share the batch and each enters only some of its calls, as hosts do that run one task per call.
                The batch is then closed when the last call has an answer on record.
            answered: Calls to which the host has an answer from elsewhere, a person say. They are not entered, and do not hold up the
                closing; their slots stay as they are.
            entering: Calls that are entered as soon as the batch is open, in this order. If the slots are new, those for which there are
                permits and whose policy is to run again get their start marks in the commit of the reservation. A mark is taken back when
                the batch is let go and the call was not entered; if the process dies before, it counts as begun. Give no more calls than
                will be entered at once.
        """
        check_count("max_parallel", max_parallel)
        if durable:
            return BatchRun(
                self._engine,
                batch,
                at_hand=self.opened or not self._opens_a_path,
                max_parallel=max_parallel,
                adopt=adopt,
                kept=kept,
                partial=partial,
                answered=answered,
                entering=entering,
            )
        if any(self.policy(call.tool).effect_key is not None for call in batch.calls):
            # Nothing is replayed, and what was had is on record all the same.
            return self.open(_apart(batch), max_parallel=max_parallel, adopt=Adopt.NEVER)
        fleeting = self._make_engine(MemoryJournal())  # the executor's own journal is not even opened
        return BatchRun(
            lambda: fleeting, _apart(batch), at_hand=True, max_parallel=max_parallel, adopt=Adopt.NEVER
        )

    # --- for people without a framework -----------------------------------------------------------------------------------

    def run_all(self, batch: Batch, tools: Tools, *, return_exceptions: bool = False) -> list[Any]:
        """Run a batch of calls in threads and give the results in call order.

        Args:
            batch: The calls; a call runs `tools[call.tool](**call.args)`.
            tools: The functions by tool name, sync ones only.
            return_exceptions: Give each failure in its place instead of raising.

        Raises:
            InvalidSetting: a tool is missing or async; nothing was reserved and nothing ran.
            Exception: the first failure in call order, after all calls have settled and are recorded.
        """
        fns = bind_all(batch, tools)
        for call in batch.calls:
            if is_async(tools[call.tool]):
                raise InvalidSetting(
                    f"tool {quoted(call.tool)} is async: use `await executor.arun_all(...)`."
                )
        workers = self.workers([call.tool for call in batch.calls])
        with self.open(batch, entering=range(min(workers, len(fns)))) as run:
            outcomes = run.calls(fns, workers=workers, offload=self._offload)
        return settle(outcomes, return_exceptions=return_exceptions)

    async def arun_all(self, batch: Batch, tools: Tools, *, return_exceptions: bool = False) -> list[Any]:
        """As `run_all`, in tasks; async tools are awaited, sync ones run in threads."""
        fns = bind_all(batch, tools)
        asyncs = [is_async(tools[call.tool]) for call in batch.calls]
        workers = self.workers([call.tool for call in batch.calls])
        async with self.open(batch, entering=range(min(workers, len(fns)))) as run:
            outcomes = await afan_out(run, fns, asyncs, workers=workers, offload=self._offload)
        return settle(outcomes, return_exceptions=return_exceptions)

    def drain(self, timeout: float | None = None) -> bool:
        """Start no more calls and wait for those that run: for SIGTERM. Whether all ended within `timeout` seconds.

        Calls that were not started raise `Draining` and stay RESERVED; those still running at the end are UNKNOWN on resume
        after this process has gone.
        """
        self._draining.set()
        engine = self._engine_
        return engine is None or registry_of(engine.journal).drain(timeout)

    def workers(self, tools: Sequence[str], max_parallel: int | None = None) -> int:
        """How many threads a host needs for a batch of calls to these tools, so that every call that may run at once can.

        One for each call where calls of one tool may have to wait while others go on; else no more than the batch's limit and the host's,
        `max_parallel`: threads that can only wait for a permit would ask for it in any order, and one at a time means in turn.
        """
        if any(self._has_own_limit(tool) for tool in set(tools)):
            return max(1, len(tools))
        limits = [limit for limit in (self._limits.batch, max_parallel) if limit is not None]
        return max(1, min([len(tools), *limits]))

    def declares(self, tool: str) -> bool:
        """Whether there is a policy for this tool, and not the default one."""
        return tool in self._policies

    def policy(self, tool: str) -> ToolPolicy:
        """What holds for this tool: its own policy, or the default one."""
        return self._policies.get(tool, self._default_policy)

    def tries_again(self, tool: str, error: Exception, *, tries: int, began: float) -> bool:
        """Whether the tool's policy has a call tried once more after this failure, the `tries`th since `began` (monotonic seconds).

        For hosts that make answers of errors: one after which it is not tried again is an answer, those before are to be raised.
        """
        policy, now = self.policy(tool), time.monotonic()
        may = may_try_again(policy, type(error))
        return may and delay_after(error, policy.retry, tries=tries, began=began, now=now) is not None

    def _has_own_limit(self, tool: str) -> bool:
        policy = self.policy(tool)
        return policy.max_parallel is not None or policy.rate is not None or tool in self._limits.tools

    # --- shared ---------------------------------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The journal, opened now if it was not yet."""
        return self._engine().journal

    def answer_of(self, slot: SlotRecord) -> object | None:
        """The answer of a call as it was recorded or, of one that nobody could settle, handed out; None where there is none, or an error.

        Raises:
            UnreadablePayload: it was stored by a codec that this executor does not have.
        """
        outcome = slot.outcome
        if not slot.final and slot.delivered is not None:
            outcome = slot.delivered.outcome
        return None if outcome is None else self._engine().decode(slot.spec.tool, outcome)

    @property
    def opened(self) -> bool:
        """Whether the journal is open, so that `journal` gives it without reading files."""
        return self._engine_ is not None

    @property
    def limits(self) -> Limits:
        """How many calls may run at once, and for how long."""
        return self._limits

    def _engine(self) -> Engine:
        with self._lock:
            engine = self._engine_
            if engine is None:
                engine = self._engine_ = self._make_engine(self._open_journal())
            return engine

    def _open_journal(self) -> Journal:
        if self._origin is not None:
            return self._origin.journal
        like = self._journal_like
        return open_journal(like) if like is None or isinstance(like, (str, os.PathLike)) else like

    @property
    def _opens_a_path(self) -> bool:
        """Whether this executor opens the journal itself: it was given a path, or nothing."""
        return self._journal_like is None or isinstance(self._journal_like, (str, os.PathLike))

    def _make_engine(self, journal: Journal) -> Engine:
        return Engine(
            journal=journal,
            policies=self._policies,
            default_policy=self._default_policy,
            limits=self._limits,
            pool=process_pool(),
            hooks=self._hooks,
            codec=self._codec,
            codecs={self._codec.name: self._codec},
            contents=self._contents,
            strict=self._strict,
            lossy_replay=self._lossy_replay,
            pauses=self._pauses,
            cancels=self._cancels,
            draining=self._draining,
        )


def _apart(batch: Batch) -> Batch:
    """The same under a run id that nothing else has."""
    return replace(batch, run_id=f"{batch.run_id}~{uuid4().hex}")
