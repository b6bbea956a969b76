"""The blocks of a memory, where old messages are archived: an effect outside of the run, which a run has once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemoryBlock, Memory
from pydantic import PrivateAttr
from typing_extensions import override

#: has an effect of this name, with these messages, once
Once: TypeAlias = Callable[[str, list[ChatMessage], Callable[[], Awaitable[None]]], Awaitable[None]]


class OnceBlock(BaseMemoryBlock[Any]):
    """Stands before a block of the user's: what a run has archived there is not archived again when the run is resumed."""

    _block: BaseMemoryBlock[Any] = PrivateAttr()
    _once: Once = PrivateAttr()

    @classmethod
    def over(cls, block: BaseMemoryBlock[Any], once: Once) -> OnceBlock:
        new = cls(
            name=block.name,
            description=block.description,
            priority=block.priority,
            accept_short_term_memory=block.accept_short_term_memory,
        )
        new._block, new._once = block, once
        return new

    def __getattr__(self, name: str) -> Any:
        """What only the block has."""
        if name.startswith("__"):
            return super().__getattr__(name)  # type: ignore[misc]
        private: dict[str, Any] = object.__getattribute__(self, "__pydantic_private__") or {}
        return private[name] if name in private else getattr(private["_block"], name)

    @override
    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> Any:
        return await self._block.aget(messages, **block_kwargs)

    @override
    async def _aput(self, messages: list[ChatMessage]) -> None:
        await self._block.aput(messages)

    @override
    async def aput(
        self,
        messages: list[ChatMessage],
        from_short_term_memory: bool = False,
        session_id: str | None = None,
    ) -> None:
        async def put() -> None:
            await self._block.aput(
                messages, from_short_term_memory=from_short_term_memory, session_id=session_id
            )

        if from_short_term_memory and self._block.accept_short_term_memory:
            await self._once(self.name, messages, put)
        else:
            await put()

    @override
    async def atruncate(self, content: Any, tokens_to_truncate: int) -> Any:
        return await self._block.atruncate(content, tokens_to_truncate)


def archiving_once(memory: Any, once: Once) -> Any:
    """The memory; one with blocks as another view of it, which shares its messages and its blocks. The given one stays as it is."""
    if not isinstance(memory, Memory):
        return memory
    blocks = cast("list[BaseMemoryBlock[Any]]", cast("Any", memory).memory_blocks)
    if not blocks or all(isinstance(block, OnceBlock) for block in blocks):
        return memory
    return memory.model_copy(update={"memory_blocks": [OnceBlock.over(block, once) for block in blocks]})
