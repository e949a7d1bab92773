"""A queue of keys to look at: each key once, never by two workers at a time, later when asked.

The design is the well-known one of client-go. All of it runs on one event loop; only `get` awaits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_DELAY_S = 0.005
LONGEST_DELAY_S = 1000.0


class ShutDown(Exception):
    """The queue was shut down and is empty."""


class WorkQueue(Generic[K]):
    """Whoever gets a key calls `done` for it, whatever came of it.

    Rate limits are per key: the n-th `add_rate_limited` since `forget` waits `first_delay_s * 2 ** n`.
    """

    def __init__(
        self, *, first_delay_s: float = FIRST_DELAY_S, longest_delay_s: float = LONGEST_DELAY_S
    ) -> None:
        self._first_delay_s = first_delay_s
        self._longest_delay_s = longest_delay_s
        self._queue: deque[K] = deque()
        """Order of work. Every key in it is in `_dirty` and not in `_processing`, and stands there once."""
        self._dirty: set[K] = set()
        """Keys that need a look. Each is either in `_queue`, or in `_processing` and queued by its `done`."""
        self._processing: set[K] = set()
        """Keys that a worker has got and not yet `done`."""
        self._timers: dict[K, asyncio.TimerHandle] = {}
        """Keys to add later, each with the earliest time asked for."""
        self._failures: dict[K, int] = {}
        """How often a key was added rate limited since it was last forgotten; never 0."""
        self._getters: deque[asyncio.Future[None]] = deque()
        """Workers asleep in `get`; a woken one checks `_queue` again."""
        self._shut_down = False
        self.adds = 0
        """How many keys were queued, each once for every look at it."""

    def __len__(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._queue)

    def add(self, key: K) -> None:
        if self._shut_down or key in self._dirty:
            return
        self._dirty.add(key)
        self.adds += 1
        if key not in self._processing:
            self._queue.append(key)
            self._wake_one()

    def add_after(self, key: K, delay_s: float) -> None:
        """Adds `key` once `delay_s` has passed; of several such wishes the earliest counts."""
        if self._shut_down:
            return
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        waiting = self._timers.get(key)
        if waiting is not None:
            if waiting.when() <= loop.time() + delay_s:
                return
            waiting.cancel()
        self._timers[key] = loop.call_later(delay_s, self._due, key)

    def add_rate_limited(self, key: K) -> None:
        self.add_after(key, self._next_delay_s(key))

    def forget(self, key: K) -> None:
        """The key went well: its next failure waits as short as the first did."""
        self._failures.pop(key, None)

    def num_requeues(self, key: K) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key, waiting for one; raises ShutDown when none will come any more."""
        while not self._queue:
            if self._shut_down:
                raise ShutDown
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake_one()  # this worker was chosen and leaves: the key must not wait for nobody
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        key = self._queue.popleft()
        self._dirty.remove(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Ends the work on `key`; if it was added meanwhile, it is queued again."""
        self._processing.remove(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake_one()

    def shut_down(self) -> None:
        """Takes no more keys and drops delayed ones; what is queued is still handed out."""
        self._shut_down = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._getters:
            self._wake_one()

    def _due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _next_delay_s(self, key: K) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2 ** 64 is beyond every limit; the cap keeps the power from growing without bound.
        return float(min(self._first_delay_s * 2.0 ** min(failures, 64), self._longest_delay_s))

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
