"""Makes the kernel forget UDP flows by raw ctnetlink.

UDP has no handshake that would fail and start anew: a client that keeps sending stays on the flow it has, be
its endpoint gone or its Service new. One request drops all flows that match; the kernel walks its whole table
for it (tens of milliseconds, however few flows there are), so requests are sent from a thread, and more than
a few at once are held against one listing instead.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from sampan.proxy.contract import SocketFactory
from sampan.proxy.frontends import Front
from sampan.proxy.nfnetlink import NETLINK_NETFILTER, NLMSG_DONE, NLMSG_ERROR, Reply, replies
from sampan.proxy.rules import Flows
from sampan.proxy.staleflows import LISTED, Request, Wanted, forget_one, listing, of_endpoint, of_front

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_RECEIVE_BYTES = 1 << 18
_ONE_BY_ONE = 3
"""Up to so many requests are sent as they are."""


class KernelConntrack:
    """Keeps `contract.Conntrack`. One request at a time; owned by the proxy's flusher task.

    Its thread is its own: Pods wait for it before they are told to end, and others do slow work in theirs.
    """

    def __init__(self, sockets: SocketFactory, families: Sequence[int] = (4, 6)) -> None:
        self._sockets, self._families = sockets, families
        self._socket: socket.socket | None = None
        self._thread = ThreadPoolExecutor(1, "conntrack")

    async def open(self) -> None:
        self._socket = await self._sockets(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.settimeout(_TIMEOUT_S)

    async def forget(self, flows: Collection[Flows], fronts: Collection[Front]) -> None:
        if self._socket is None or not (flows or fronts):
            return
        loop = asyncio.get_running_loop()
        if len(flows) + len(fronts) <= _ONE_BY_ONE:
            requests = [*map(of_endpoint, flows), *map(of_front, fronts)]
            await loop.run_in_executor(self._thread, _send_all, self._socket, requests)
        else:
            wanted = Wanted(flows, fronts)
            await loop.run_in_executor(self._thread, choose, self._socket, self._families, wanted.means)

    def close(self) -> None:
        self._thread.shutdown(wait=False)
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _send_all(sock: socket.socket, requests: Sequence[Request]) -> None:
    for request in requests:
        sock.send(request.bytes)
        if request.address:
            _forget(sock, [found for found in _listed(sock) if request.means(found)])
        else:
            _check(_verdict(sock))


def choose(sock: socket.socket, families: Iterable[int], means: Callable[[Reply], bool]) -> None:
    """Lists the UDP flows of these families and drops those that are meant. Blocks."""
    for version in families:
        sock.send(listing(version))
        _forget(sock, [found for found in _listed(sock) if means(found)])


def _forget(sock: socket.socket, flows: Sequence[Reply]) -> None:
    for flow in flows:
        sock.send(forget_one(flow))
        _check(_verdict(sock))


def _check(number: int) -> None:
    if number not in (0, errno.ENOENT):
        # The rules are right all the same; only old flows linger until they time out.
        log.warning("conntrack: cannot drop UDP flows: %s", os.strerror(number))


def _verdict(sock: socket.socket) -> int:
    while True:
        for reply in replies(sock.recv(_RECEIVE_BYTES)):
            if reply.kind == NLMSG_ERROR:
                return reply.error


def _listed(sock: socket.socket) -> Iterator[Reply]:
    while True:
        for reply in replies(sock.recv(_RECEIVE_BYTES)):
            if reply.kind == NLMSG_ERROR:
                _check(reply.error)
            if reply.kind in (NLMSG_ERROR, NLMSG_DONE):
                return
            if reply.kind == LISTED:
                yield reply
