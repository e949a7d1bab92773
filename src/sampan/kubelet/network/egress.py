"""The way out of the node, without a rule in the host's namespace and without host forwarding.

Rules in the node's namespace (`diversion`) lead what goes anywhere outside the cluster to relays that listen
there (`tcprelay`, `udprelay`, `icmprelay`); these speak to the outside from the host's namespace, where the
event loop lives. The far end sees the host's address. What is neither TCP, UDP nor an echo request is
refused.

In a family in which the host has no default route there is no way out, and who tries is told so at once: he
may have the other family left. The kernel says when that changes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace

from sampan.kubelet.network import diversion, netlink, rtnetlink, tcprelay
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.diversion import Outlet
from sampan.kubelet.network.icmprelay import IcmpRelay
from sampan.kubelet.network.netlink import Network
from sampan.kubelet.network.node import NodeNamespace
from sampan.kubelet.network.plan import FamilyPlan
from sampan.kubelet.network.udprelay import UdpRelay

log = logging.getLogger(__name__)

_TABLE = 83
"""The routing table of datagrams that are caught: everything is here."""
_LOOPBACK = 1
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_IPV6_ROUTES = 0x400
"""rtnetlink's multicast group of changes to IPv6 routes (linux/rtnetlink.h)."""
_SETTLE_S = 0.5
"""Routes seldom change alone."""


class EgressRelay:
    """Owned by whoever starts it; the rules are gone after `stop`, or with the node's namespace."""

    def __init__(self, node: NodeNamespace) -> None:
        self._node = node
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[UdpRelay | IcmpRelay] = []
        self._outlets: tuple[Outlet, ...] = ()
        self._news: socket.socket | None = None
        self._reviewing: asyncio.TimerHandle | None = None
        self._loading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens, and sends Pods there. Right also when a crashed process left its rules behind."""
        families = self._node.plan.families
        has_ipv6 = await asyncio.to_thread(has_default_route)
        self._outlets = tuple([await self._open(row, row.version == 4 or has_ipv6) for row in families])
        await self._node.inside(self._turn_back)
        await self._load_first()
        if any(row.version == 6 for row in families):
            self._follow_host()

    async def stop(self) -> None:
        """No new connections; those that run are cut."""
        loop = asyncio.get_running_loop()
        if self._news is not None:
            loop.remove_reader(self._news)
            self._news.close()
            self._news = None
        if self._reviewing is not None:
            self._reviewing.cancel()
        if self._loading is not None:
            await asyncio.wait([self._loading])
        if self._servers:
            await self._node.load_nft(diversion.CLEAR)
        for server in self._servers:
            server.close()
        for relay in self._datagrams:
            relay.close()
        self._servers, self._datagrams = [], []

    async def _load_first(self) -> None:
        """With all that the kernel can."""
        try:
            await self._node.load_nft(diversion.rules(self._outlets))
        except NetworkFault as fault:
            self._outlets = tuple(replace(outlet, udp_port=0) for outlet in self._outlets)
            await self._node.load_nft(diversion.rules(self._outlets))
            # It would have failed as well, had the reason been another.
            log.warning("no UDP leaves the cluster: this kernel has no tproxy for nft (%s)", fault)

    async def _open(self, row: FamilyPlan, is_open: bool) -> Outlet:
        family, excluded = _FAMILIES[row.version], diversion.inside(self._node.plan, row.version)
        listener = await self._node.socket(family, socket.SOCK_STREAM)
        listener.bind((str(row.node.ip), 0))
        self._servers.append(await tcprelay.relay(listener, excluded))
        echoes = await self._carry_echoes(row, excluded)
        datagrams = UdpRelay(self._node, family, excluded, echoes)
        self._datagrams.append(datagrams)
        port = await datagrams.start()
        where = str(row.node.ip), listener.getsockname()[1], port
        return Outlet(row.version, *where, excluded, is_open, echoes is not None)

    async def _carry_echoes(self, row: FamilyPlan, excluded: Sequence[Network]) -> IcmpRelay | None:
        relay = IcmpRelay(self._node, row.version, row.node.ip, excluded)
        try:
            await relay.start()
        except OSError as error:
            log.warning("no echo requests leave the cluster by IPv%d: %s", row.version, error)
            relay.close()
            return None
        self._datagrams.append(relay)
        return relay

    def _turn_back(self) -> None:
        """Marked datagrams are for this machine, wherever they are going."""
        with rtnetlink.open_socket() as sock:
            self._node.traveller.fence(sock)
            for row in self._node.plan.families:
                route = netlink.add_route(
                    row.default, _LOOPBACK, scope=netlink.SCOPE_HOST, kind=netlink.LOCAL, table=_TABLE
                )
                rule = netlink.add_mark_rule(row.version, diversion.MARK, _TABLE)
                rtnetlink.carry_out(sock, [route, rule], {errno.EEXIST})

    def _follow_host(self) -> None:
        sock = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
            socket.NETLINK_ROUTE,
        )
        sock.bind((0, _IPV6_ROUTES))
        self._news = sock
        asyncio.get_running_loop().add_reader(sock, self._host_changed)

    def _host_changed(self) -> None:
        assert self._news is not None
        try:
            while self._news.recv(1 << 16):
                pass
        except OSError:
            pass  # read to the end, or too much of it to keep: either way there is news
        if self._reviewing is None:
            loop = asyncio.get_running_loop()
            self._reviewing = loop.call_later(_SETTLE_S, self._review)

    def _review(self) -> None:
        self._reviewing = None
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._load())
        else:
            self._reviewing = asyncio.get_running_loop().call_later(_SETTLE_S, self._review)

    async def _load(self) -> None:
        is_open = await asyncio.to_thread(has_default_route)
        outlets = tuple(
            replace(outlet, open=is_open) if outlet.version == 6 else outlet for outlet in self._outlets
        )
        if outlets != self._outlets:
            self._outlets = outlets
            log.info("the host has %s way out by IPv6 now", "a" if is_open else "no")
            await self._node.load_nft(diversion.rules(outlets))


def has_default_route() -> bool:
    """Whether the host has one for IPv6."""
    with rtnetlink.open_socket() as sock:
        routes = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
    return any(
        route.network is None
        and route.version == 6
        and route.table == netlink.MAIN_TABLE
        and route.index != _LOOPBACK  # as one says that there is none
        for route in routes
    )
