"""A thread for one call, then gone: for work that leaves the thread unfit for anything else.

What unshare(2) detaches (namespaces, the working directory) is the thread's own and dies with it; a pool's
thread would carry it into the next caller's work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """A call that another thread makes for the event loop it was thought up on."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function, self._loop = function, asyncio.get_running_loop()
        self._done: asyncio.Future[T] = self._loop.create_future()

    def run(self) -> None:
        """In that thread."""
        try:
            result = self._function()
        except BaseException as error:
            self._loop.call_soon_threadsafe(self._done.set_exception, error)
        else:
            self._loop.call_soon_threadsafe(self._done.set_result, result)

    async def result(self) -> T:
        """Cancelling does not stop the thread: the call is waited for all the same."""
        try:
            return await asyncio.shield(self._done)
        except asyncio.CancelledError:
            await asyncio.wait([self._done])
            raise


async def call(function: Callable[[], T]) -> T:
    """Cancelling does not stop the thread: the call is waited for all the same."""
    errand = Errand(function)
    threading.Thread(target=errand.run, name="oneshot", daemon=True).start()
    return await errand.result()
