"""Ways to the Pods of the other nodes, kept as the Node objects say.

One task owns all state. An informer's handler only notes that some Node changed; the task plans anew
(`peers`), and tells the kernel the difference. What is new comes before what is old goes, so a node whose
address changes is never without a way. A node that is not Ready keeps its ways: its Pods may be alive.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
from socket import if_nametoindex

from sampan.api.objects import Obj
from sampan.api.resources import NODES
from sampan.client.informers import Informers
from sampan.kubelet.network import netlink, overlay, rtnetlink
from sampan.kubelet.network.netlink import Request
from sampan.kubelet.network.node import NodeNamespace
from sampan.kubelet.network.peers import Entry, FarPort, Neighbour, Route, entries
from sampan.kubelet.network.uplink import NODE_LINK

log = logging.getLogger(__name__)

PROTOCOL = 83
"""By which our routes are known among a node's (`ip route show proto 83`)."""
_ABSENT = {errno.ESRCH, errno.ENOENT, errno.ENODEV}
_RETRY_S, _LONGEST_RETRY_S = 5.0, 300.0


class NodeRoutes:
    """Every process that has a node runs one. The ways stay when it ends."""

    def __init__(self, node: NodeNamespace, informers: Informers, node_name: str) -> None:
        self._node, self._own = node, node_name
        self._nodes = informers.informer(NODES)
        self._changed = asyncio.Event()
        self._held: dict[Entry, None] = {}
        self._refused: dict[Entry, rtnetlink.NetlinkFault] = {}
        self.ready = asyncio.Event()
        """Set once all Nodes that there were at the start can be reached."""

    async def run(self) -> None:
        self._nodes.subscribe(self._node_changed)
        plan = self._node.plan
        if plan.overlay:
            await self._node.load_nft(overlay.rules(plan))
        await self._nodes.wait_synced()
        if await self._node.inside(self._begin):
            await self._node.load_nft(overlay.CLEAR)
        delay_s = _RETRY_S
        while True:
            self._changed.clear()
            wanted = entries(self._nodes.list(), self._own, plan)
            refused = await self._node.inside(functools.partial(self._bring_to, wanted))
            for entry in refused.keys() - self._refused.keys():
                log.warning("no way to another node: %s: %s", entry, refused[entry])
            # Of what is refused as it was, less and less is hoped for.
            delay_s = (
                min(delay_s * 2, _LONGEST_RETRY_S) if refused.keys() == self._refused.keys() else _RETRY_S
            )
            self._refused = refused
            self.ready.set()
            await self._wait(delay_s if refused else None)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or _told(old) != _told(new):
            self._changed.set()

    async def _wait(self, longest_s: float | None) -> None:
        """For news; not for ever if the kernel refused something."""
        try:
            async with asyncio.timeout(longest_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _begin(self) -> bool:
        """The links, and what an earlier process left of ways that nobody wants any more.

        Whether there was an overlay, and is none now.
        """
        plan = self._node.plan
        with rtnetlink.open_socket() as sock:
            self._node.traveller.fence(sock)
            if plan.overlay:
                overlay.ensure(sock, plan)
            gone_over = not plan.overlay and overlay.remove(sock)
            ours = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
            wanted = {
                entry.network
                for entry in entries(self._nodes.list(), self._own, plan)
                if isinstance(entry, Route)
            }
            gone = [
                netlink.delete_route(route.network)
                for route in ours
                if route.protocol == PROTOCOL and route.network and route.network not in wanted
            ]
            rtnetlink.carry_out(sock, gone, _ABSENT)
        return gone_over

    def _bring_to(self, wanted: dict[Entry, None]) -> dict[Entry, rtnetlink.NetlinkFault]:
        """What the kernel refused, and why."""
        refused: dict[Entry, rtnetlink.NetlinkFault] = {}
        with rtnetlink.open_socket() as sock:
            self._node.traveller.fence(sock)
            links = {False: if_nametoindex(NODE_LINK)}
            if self._node.plan.overlay:
                links[True] = if_nametoindex(overlay.LINK)
            for entry in wanted:
                if entry not in self._held:
                    try:
                        rtnetlink.carry_out(sock, [_add(entry, links)])
                    except rtnetlink.NetlinkFault as fault:
                        refused[entry] = fault
                        continue
                    self._held[entry] = None
            places = {_place(entry) for entry in wanted}
            for entry in [entry for entry in self._held if entry not in wanted]:
                del self._held[entry]
                if _place(entry) not in places:
                    rtnetlink.carry_out(sock, [_delete(entry, links)], _ABSENT)
        return refused


def _told(node: Obj) -> tuple[object, object]:
    """What ways depend on."""
    return (node.get("spec") or {}).get("podCIDRs"), (node.get("status") or {}).get("addresses")


def _place(entry: Entry) -> tuple[type, object, bool]:
    """Where an entry stands: a new one of the same place has replaced it."""
    match entry:
        case Route():
            return Route, entry.network, False
        case Neighbour():
            return Neighbour, entry.address, entry.overlay
        case FarPort():
            return FarPort, entry.mac, True


def _add(entry: Entry, links: dict[bool, int]) -> Request:
    match entry:
        case Route():
            index, far = links[entry.overlay], entry.overlay
            return netlink.add_route(
                entry.network, index, gateway=entry.gateway, protocol=PROTOCOL, on_link=far
            )
        case Neighbour():
            return netlink.add_neighbour(entry.address, entry.mac, links[entry.overlay])
        case FarPort():
            return netlink.add_far_port(entry.address, entry.mac, links[True])


def _delete(entry: Entry, links: dict[bool, int]) -> Request:
    match entry:
        case Route():
            return netlink.delete_route(entry.network)
        case Neighbour():
            return netlink.delete_neighbour(entry.address, links[entry.overlay])
        case FarPort():
            return netlink.delete_far_port(entry.address, entry.mac, links[True])
