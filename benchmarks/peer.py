"""100 calls through toolslot, LangGraph's tasks or DBOS, each on SQLite. As a program: `peer.py NAME FOLDER` runs them, or takes them up.

Each call writes a line when it begins and one when it ends into FOLDER/lines, so that who kills the program can count what ran twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

COUNT = 100
#: calls at once
WIDTH = 10

Tool = Callable[[int], Awaitable[str]]


class Peer(Protocol):
    """A way to run the calls of one run, or to take the run up."""

    def run(self, run_id: str) -> object: ...

    def close(self) -> None: ...


class Toolslot:
    """`arun_all` on the disk journal."""

    def __init__(self, folder: Path, tool: Tool) -> None:
        from toolslot import DiskJournal, DurableExecutor, Limits

        self._tool = tool
        self._journal = DiskJournal.open(folder / "journal")
        self._executor = DurableExecutor(self._journal, limits=Limits(batch=WIDTH))
        self._loop = asyncio.new_event_loop()

    def run(self, run_id: str) -> object:
        from toolslot import Batch, Call

        calls = tuple(Call(tool="work", args={"i": i}, call_id=f"c{i}") for i in range(COUNT))
        batch = Batch(run_id=run_id, batch_id="b", calls=calls)
        return self._loop.run_until_complete(self._executor.arun_all(batch, {"work": self._tool}))

    def close(self) -> None:
        self._journal.close()
        self._loop.close()


class Tasks:
    """LangGraph's functional API: an entrypoint that gathers a `@task` for each call, with SqliteSaver."""

    def __init__(self, folder: Path, tool: Tool) -> None:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
        from langgraph.func import entrypoint, task

        self._loop = asyncio.new_event_loop()
        self._opened = AsyncSqliteSaver.from_conn_string(str(folder / "tasks.db"))
        saver = self._loop.run_until_complete(self._opened.__aenter__())

        @task
        async def work(i: int) -> str:
            return await tool(i)

        @entrypoint(checkpointer=saver)
        async def all_of_them(count: int) -> list[str]:
            return await asyncio.gather(*(work(i) for i in range(count)))

        self._graph: Any = all_of_them

    def run(self, run_id: str) -> object:
        config: Any = {"configurable": {"thread_id": run_id}, "max_concurrency": WIDTH}
        taken_up = self._loop.run_until_complete(self._graph.aget_state(config)).next
        return self._loop.run_until_complete(
            self._graph.ainvoke(None if taken_up else COUNT, config, durability="sync")
        )

    def close(self) -> None:
        self._loop.run_until_complete(self._opened.__aexit__(None, None, None))
        self._loop.close()


class Dbos:
    """One DBOS workflow that gathers a step for each call, on SQLite."""

    def __init__(self, folder: Path, tool: Tool) -> None:
        import dbos

        self._dbos: Any = dbos
        self._config = {
            "name": "bench",
            "system_database_url": f"sqlite:///{folder / 'dbos.sqlite'}",
            "application_version": "1",
            "log_level": "ERROR",
        }
        dbos.DBOS(config=self._config)

        @dbos.DBOS.step()
        async def work(i: int) -> str:
            return await tool(i)

        @dbos.DBOS.workflow()
        async def all_of_them() -> list[str]:
            width = asyncio.Semaphore(WIDTH)

            async def one(i: int) -> str:
                async with width:  # until it is recorded
                    return await work(i)

            return await asyncio.gather(*(one(i) for i in range(COUNT)))

        self._workflow: Any = all_of_them
        dbos.DBOS.launch()  # takes up what was interrupted
        self._loop = asyncio.new_event_loop()

    def run(self, run_id: str) -> object:
        async def result() -> object:
            with self._dbos.SetWorkflowID(run_id):
                handle = await self._dbos.DBOS.start_workflow_async(self._workflow)
            return await handle.get_result()

        return self._loop.run_until_complete(result())

    def close(self) -> None:
        self._dbos.DBOS.destroy()
        self._loop.close()


PEERS: dict[str, Callable[[Path, Tool], Peer]] = {
    "toolslot": Toolslot,
    "LangGraph @task": Tasks,
    "DBOS": Dbos,
}


class Lines:
    """The file of begins and ends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def tool(self, i: int) -> str:
        os.write(self._file, f"begin {i}\n".encode())
        await asyncio.sleep(0.02)
        os.write(self._file, f"end {i}\n".encode())
        return "ok"


async def nothing(i: int) -> str:
    return "ok"


def main(name: str, folder: str) -> None:
    logging.disable(logging.WARNING)
    lines = Lines(Path(folder) / "lines")
    peer = PEERS[name](Path(folder), lines.tool)
    peer.run("run")
    print("done", flush=True)
    os._exit(0)  # what it takes to end in order is not measured here


if __name__ == "__main__":
    main(*sys.argv[1:])
