"""An event loop whose time passes only when nothing can happen without it: an hour of back-off costs nothing,
and a machine that stands still makes nobody late.

    with VirtualTime() as world:
        world.run(coroutine())          # time.time and time.monotonic are the loop's while it runs

Tests marked `virtual_time` run on it (tests/conftest.py).

Threads would have to wait for time that does not pass, so what is meant for a thread is done at once. A loop
on which nothing will ever happen again is a deadlock, and raises.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

TURN_S = 1e-5
"""What a turn of the loop takes, so that whoever spins (`sleep(0)`) does not stop the time."""


class Deadlock(AssertionError):
    pass


class _AtOnce(ThreadPoolExecutor):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


class _Selector(selectors.SelectSelector):
    """Instead of waiting it moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.now_s += TURN_S
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock("nothing will ever happen again")
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)
        self.set_default_executor(_AtOnce(1))
        self._wall_s = time.time() - self._clock.now_s

    def time(self) -> float:
        return self._clock.now_s

    def run_forever(self) -> None:
        with patch("time.monotonic", self.time), patch("time.time", lambda: self._wall_s + self.time()):
            super().run_forever()

    def set_clock(self, forward_s: float) -> None:
        """As somebody does who sets the clock, or a machine that has slept."""
        self._wall_s += forward_s


class VirtualTime:
    def __init__(self) -> None:
        self.loop = VirtualLoop()

    def __enter__(self) -> VirtualTime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def sleep(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def close(self) -> None:
        self.loop.close()
