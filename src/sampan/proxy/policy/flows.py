"""Makes the kernel forget UDP flows of an address that changes hands.

Rules are asked about the first packet of a flow. A sender that never stops would go on, unasked, with whoever
has the address next; so what conntrack remembers of a Pod goes with it. TCP needs no such thing: a stranger's
segment is answered by a reset.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from typing import Protocol

from sampan.proxy.conntrack import choose
from sampan.proxy.contract import SocketFactory
from sampan.proxy.nfnetlink import NETLINK_NETFILTER
from sampan.proxy.staleflows import Touching

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0


class FlowMemory(Protocol):
    async def forget(self, addresses: Iterable[str]) -> None:
        """Drops all UDP flows that began at, or lead to, these addresses."""


class KernelFlows:
    """Keeps `FlowMemory`. The kernel walks its whole memory for a listing, so it is asked from a thread."""

    def __init__(self, sockets: SocketFactory) -> None:
        self._sockets = sockets

    async def forget(self, addresses: Iterable[str]) -> None:
        wanted = Touching(addresses)
        try:
            with await self._sockets(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
                sock.settimeout(_TIMEOUT_S)
                await asyncio.to_thread(choose, sock, wanted.versions, wanted.means)
        except OSError as error:
            log.warning("conntrack: cannot drop UDP flows: %s", error)
