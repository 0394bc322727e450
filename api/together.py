"""Together: who asks for the same at once is answered once, as for the pictures of a mail, fetched at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Together(Generic[T]):
    """What is being made, by what it is; all of it belongs to one event loop."""

    def __init__(self) -> None:
        self._making: dict[Hashable, asyncio.Future[T]] = {}

    async def once(self, what: Hashable, make: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """What is made, and whether somebody else made it.

        Where who makes it hangs up or fails, the next one makes it anew.

        Args:
            what: it is; equal ones are made once.
            make: makes it.
        """
        while (making := self._making.get(what)) is not None:
            await asyncio.wait([making])  # which leaves it alone if this one hangs up
            if not making.cancelled():
                return making.result(), True
        making = self._making[what] = asyncio.get_running_loop().create_future()
        try:
            made = await make()
            making.set_result(made)
        finally:
            del self._making[what]
            making.cancel()  # which does nothing to what is made
        return made, False
