"""An event loop whose time passes only when nothing can happen without it: an hour of back-off costs nothing.

    with VirtualTime() as world:
        world.run(coroutine())          # time.time and time.monotonic are the loop's while it runs

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

BEGAN_S = 1_000_000.0


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
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock("nothing will ever happen again")
        self.now_s += timeout
        return []


class VirtualTime:
    def __init__(self) -> None:
        self._selector = _Selector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self.loop.time = lambda: self._selector.now_s  # type: ignore[method-assign]
        self.loop.set_default_executor(_AtOnce(1))
        self._wall_s = time.time() - self._selector.now_s

    def __enter__(self) -> VirtualTime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def now_s(self) -> float:
        return self._selector.now_s

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        wall_s = self._wall_s
        with (
            patch("time.monotonic", lambda: self._selector.now_s),
            patch("time.time", lambda: wall_s + self._selector.now_s),
        ):
            return self.loop.run_until_complete(work)

    def sleep(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def close(self) -> None:
        self.loop.close()
