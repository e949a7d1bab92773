"""The host's way into a cluster, mended when somebody has broken it.

A network manager that starts anew, an `ip route flush`, a link taken down and up: the host's routes and
addresses of the uplink are gone then. The kernel tells of each change; after one that takes something of
ours, what is there is compared with what is to be, and what is missing is made again. A link that is down
stays down: somebody wants it so. Its routes come back when it does.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from socket import if_nametoindex

from sampan.kubelet.network import devices, hostnetworks, netlink
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.netlink import Reply
from sampan.kubelet.network.plan import NodePlan

log = logging.getLogger(__name__)

_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Links; addresses and routes of IPv4 and of IPv6 (linux/rtnetlink.h)."""
_GONE = frozenset({devices.DEL_LINK, netlink.DEL_ADDRESS, netlink.DEL_ROUTE})
_SETTLE_S = 0.3
"""Such things seldom change alone."""
_LONGEST_S = 60.0
"""Between two mends, if somebody takes away again and again what was mended."""
_LARGEST = 1 << 16


def concerns(replies: Iterable[Reply], index: int) -> bool:
    """Whether something of the link `index` has gone, or the link itself has changed. Pure."""
    replies = list(replies)
    if any(link.index == index for link in devices.links(replies)):
        return True
    gone = [reply for reply in replies if reply.kind in _GONE]
    return any(netlink.link_of(reply) == index for reply in gone)


class UplinkWatch:
    """Runs once for a cluster, where the host is. `mend` makes all of it; then `mended` is called."""

    def __init__(
        self, plan: NodePlan, mend: Callable[[], Awaitable[None]], mended: Callable[[], None]
    ) -> None:
        self._plan, self._mend, self._mended = plan, mend, mended
        self._index = 0
        self._news = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as sock:
            sock.bind((0, _GROUPS))
            self._index = if_nametoindex(self._plan.host_link)
            loop.add_reader(sock, self._read, sock)
            try:
                delay_s = _SETTLE_S
                while True:
                    await self._news.wait()
                    await asyncio.sleep(delay_s)
                    self._news.clear()
                    delay_s = min(delay_s * 2, _LONGEST_S) if await self._look() else _SETTLE_S
            finally:
                loop.remove_reader(sock)

    def _read(self, sock: socket.socket) -> None:
        while True:
            try:
                data = sock.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._news.set()  # more than could be kept: anything may have gone
                return
            if concerns(netlink.unpack(data), self._index):
                self._news.set()

    async def _look(self) -> bool:
        """Whether there was something to mend."""
        missing = await asyncio.to_thread(hostnetworks.missing, self._plan)
        if not missing:
            return False
        try:
            await self._mend()
            self._index = if_nametoindex(self._plan.host_link)
        except (NetworkFault, OSError) as fault:
            log.warning("the host's way into the cluster lacks %s, and cannot be mended: %s", missing, fault)
            return True
        log.warning("the host's way into the cluster lacked %s; it is mended", missing)
        self._mended()
        return True
