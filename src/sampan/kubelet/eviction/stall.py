"""The kernel tells when tasks wait for memory: a trigger on /proc/pressure/memory (PSI).

So a shortage is looked at when it comes, not at the next tick; where the kernel has no PSI the tick is left.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable
from pathlib import Path

PRESSURE = Path("/proc/pressure/memory")
TRIGGER = b"some 200000 2000000\0"
"""200 ms of waiting within two seconds: windows of other lengths need CAP_SYS_RESOURCE."""

log = logging.getLogger(__name__)


class MemoryStall:
    """Calls `stalled` on the event loop, at most every two seconds, from `open` to `close`."""

    def __init__(self, stalled: Callable[[], None], path: Path = PRESSURE) -> None:
        self._stalled, self._path = stalled, path
        self._fd = -1
        self._poll: select.epoll | None = None

    def open(self) -> bool:
        """Whether the kernel will tell."""
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            os.write(self._fd, TRIGGER)
        except OSError as error:
            log.info("%s: %s: memory pressure is only looked for now and then", self._path, error.strerror)
            self.close()
            return False
        # The trigger shows as a priority event, which event loops do not ask for: a poll of its own does.
        self._poll = select.epoll()
        self._poll.register(self._fd, select.EPOLLPRI)
        asyncio.get_running_loop().add_reader(self._poll.fileno(), self._hear)
        return True

    def close(self) -> None:
        if self._poll is not None:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _hear(self) -> None:
        assert self._poll is not None
        events = self._poll.poll(0)
        if any(event & select.EPOLLERR for _, event in events):
            self.close()
        elif events:
            self._stalled()
