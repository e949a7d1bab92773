"""TCP sockets of one network namespace, kept ready for those who need one now and then.

A journey of the helper thread costs as much as a probe; so each brings several sockets home, more of them
the sooner the last ones were used up. Everything here runs on the event loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from sampan.kubelet.network.contract import Namespace, NetworkFault

FEW, MANY = 2, 32
LASTING_S = 2.0
"""A batch that lasts shorter is followed by one of twice the size."""

Use = Callable[["socket.socket | Exception"], None]


class SocketStock:
    """Who takes a socket owns it. `close` gives back those that nobody took."""

    def __init__(self, netns: Namespace) -> None:
        self._shelves = {family: _Shelf(netns, family) for family in (socket.AF_INET, socket.AF_INET6)}

    def take(self, family: socket.AddressFamily, use: Use) -> None:
        """Calls `use` with a socket, at once if one is there, or with the OSError or NetworkFault."""
        self._shelves[family].take(use)

    def close(self) -> None:
        for shelf in self._shelves.values():
            shelf.close()


class _Shelf:
    def __init__(self, netns: Namespace, family: socket.AddressFamily) -> None:
        self._netns, self._family = netns, family
        self._ready: deque[socket.socket] = deque()
        self._waiting: deque[Use] = deque()
        self._size, self._filled_s = FEW, float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    def take(self, use: Use) -> None:
        if self._ready:
            use(self._ready.popleft())
            return
        self._waiting.append(use)
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        while self._ready:
            self._ready.popleft().close()

    async def _fetch(self) -> None:
        try:
            while self._waiting:
                now_s = asyncio.get_running_loop().time()
                self._size = min(self._size * 2, MANY) if now_s - self._filled_s < LASTING_S else FEW
                self._filled_s = now_s
                try:
                    self._ready.extend(
                        await self._netns.sockets(self._family, socket.SOCK_STREAM, self._size)
                    )
                except (OSError, NetworkFault) as error:
                    while self._waiting:
                        self._waiting.popleft()(error)
                    return
                while self._ready and self._waiting:
                    self._waiting.popleft()(self._ready.popleft())
        finally:
            self._fetching = None
