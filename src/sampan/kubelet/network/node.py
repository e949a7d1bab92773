"""The node: a network namespace with an uplink to the host, kept exactly as its plan says.

`ensure` looks at what is there and adds what is missing, so the first start, a start after a crash, one after
an upgrade and a repeated call are the same thing. `remove` takes away whatever it finds. Work inside
namespaces runs on the traveller's thread, work on the host's side on a pool thread; never at the same time.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from socket import socket as Socket
from typing import Unpack

from sampan.kubelet.network import devices, families, hostnetworks, namespace, netlink, rtnetlink, uplink
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.devices import Link, LinkEnd
from sampan.kubelet.network.netlink import Network, Request
from sampan.kubelet.network.plan import (
    MAX_INDEX,
    FamilyPlan,
    NodePlan,
    PlanOptions,
    free_index,
    node_plan,
)
from sampan.kubelet.network.uplink import HOST_PORT, NODE_LINK, IndexTaken, Span, port_of

_LOOPBACK = 1
_SYSCTLS: dict[int, dict[str, str]] = {
    4: {
        "net/ipv4/ip_forward": "1",
        # Strict reverse-path check on every device: a Pod cannot send with another's address.
        "net/ipv4/conf/all/rp_filter": "1",
        # From 127.0.0.1 to a Pod by its host port; the proxy's rules drop what else this would let in.
        "net/ipv4/conf/all/route_localnet": "1",
        # What comes by the uplink and leaves by it is meant to: other nodes' Pods behind this node's routes.
        "net/ipv4/conf/all/send_redirects": "0",
        "net/ipv4/conf/default/send_redirects": "0",
    },
    6: {
        "net/ipv6/conf/all/disable_ipv6": "0",
        "net/ipv6/conf/default/disable_ipv6": "0",
        "net/ipv6/conf/all/forwarding": "1",
        # No router speaks here, whatever a Pod sends; and no link needs a name of its own.
        "net/ipv6/conf/all/accept_ra": "0",
        "net/ipv6/conf/default/accept_ra": "0",
        "net/ipv6/conf/default/addr_gen_mode": "1",
    },
}
_HOST_SYSCTLS: dict[str, str] = {"disable_ipv6": "0", "accept_ra": "0", "addr_gen_mode": "1"}
"""Of the host's end of the uplink alone: wherever the host has IPv6 off, it is on here."""
_ANTI_SPOOFING = """table ip6 sampan_sources {
}
delete table ip6 sampan_sources
table ip6 sampan_sources {
	chain pods {
		type filter hook prerouting priority raw; policy accept;
		iifname "pod*" fib saddr . iif oif missing drop
	}
}
"""
"""What rp_filter is for IPv4: the way back to a packet's source leads through the link that it came by."""


class NodeNamespace:
    """Keeps `contract.Namespace`. Owns the pin, the uplink, and the host's routes through it."""

    def __init__(self, plan: NodePlan, traveller: namespace.Traveller | None = None) -> None:
        self.plan = plan
        self.path = str(plan.pin)
        self.traveller = traveller or namespace.Traveller(f"netns-{plan.name}")

    async def ensure(self) -> None:
        """Brings the namespace and its uplink to the plan. Raises IndexTaken, NetworkFault."""
        plan = self.plan
        if not namespace.is_pinned(plan.pin):
            await asyncio.to_thread(namespace.create, plan.pin)
        if plan.lan is not None and not namespace.is_pinned(plan.lan):
            if plan.number:
                raise NetworkFault(
                    f"the cluster has no network for node {plan.number}: its first node makes it"
                )
            await asyncio.to_thread(namespace.create, plan.lan)
        guarding = asyncio.create_task(self._guard())  # another program's work, meanwhile
        try:
            end = await self.inside(self._prepare)
            if plan.lan is None:
                if end is not None and not await asyncio.to_thread(self._hangs_on_host, end):
                    await self.inside(self._drop_uplink)
                await asyncio.to_thread(self._connect_host, end, plan.pin)
            else:
                await self._connect_lan(plan.lan, end)
            await self.inside(self._connect_node)
            await self._settle()
        finally:
            await asyncio.wait([guarding])
        guarding.result()

    async def reach_from_host(self) -> None:
        """The host's direct way to the Pods of a further node. Raises IndexTaken, NetworkFault."""
        await asyncio.to_thread(self._reach_from_host)

    async def remove(self) -> None:
        """Leaves nothing: no link, route, mount or file. Also right when only half of it exists.

        The first node takes the LAN with it: it goes last.
        """
        plan = self.plan
        try:
            await asyncio.to_thread(self._disconnect)
            if plan.lan is not None and plan.number and namespace.is_pinned(plan.lan):
                await self.traveller.run(plan.lan, self._unplug)
        finally:
            await asyncio.to_thread(namespace.unpin, plan.pin)
            if plan.lan is not None and not plan.number:
                await asyncio.to_thread(namespace.unpin, plan.lan)

    def close(self) -> None:
        """Lets go of the helper thread; the namespace stays."""
        self.traveller.close()

    async def socket(self, family: int, kind: int, proto: int = 0) -> Socket:
        return await self.traveller.socket(self.plan.pin, family, kind, proto)

    async def sockets(self, family: int, kind: int, count: int) -> list[Socket]:
        return await self.traveller.sockets(self.plan.pin, family, kind, count)

    async def netlink(self, proto: int) -> Socket:
        """A netlink socket of the node: NETLINK_ROUTE, NETLINK_NETFILTER (12), ..."""
        return await self.socket(socket.AF_NETLINK, socket.SOCK_RAW, proto)

    async def inside(self, work: Callable[[], namespace.T]) -> namespace.T:
        """What `work` returns when run in the namespace, on the helper thread."""
        return await self.traveller.run(self.plan.pin, work)

    async def execute(self, argv: Sequence[str], stdin: str = "") -> str:
        """Runs a host program inside; its standard output. NetworkFault with its complaint if it fails."""
        command = ("nsenter", f"--net={self.plan.pin}", *argv)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise NetworkFault("nsenter is missing: install the package util-linux") from error
        output, complaint = await process.communicate(stdin.encode())
        if process.returncode:
            raise NetworkFault(f"{' '.join(argv)}: {complaint.decode(errors='replace').strip()[:2000]}")
        return output.decode()

    async def load_nft(self, ruleset: str) -> None:
        """One atomic nft transaction from text, in the node's namespace."""
        await self.execute(("nft", "-f", "-"), ruleset)

    async def _guard(self) -> None:
        if any(family.version == 6 for family in self.plan.families):
            await self.load_nft(_ANTI_SPOOFING)

    def _prepare(self) -> Link | None:
        """Sysctls and loopback. Returns the node's end of the uplink if it exists."""
        with self._socket() as sock:
            addresses = [devices.raise_link(_LOOPBACK)]
            for family in self.plan.families:
                for name, value in _SYSCTLS[family.version].items():
                    Path("/proc/sys", name).write_text(value)
                # With the node's own address here too, Pods' routes, whose source it is, outlive an uplink.
                for address in (family.dns, family.node.ip):
                    own = type(family.node)(str(address))
                    addresses += netlink.own_address(own, _LOOPBACK, netlink.SCOPE_HOST)
            rtnetlink.carry_out(sock, addresses)
            return uplink.find_links(sock).get(NODE_LINK)

    def _connect_host(self, far: Link | None, pin: Path) -> None:
        """The veth to `far` (in the namespace at `pin`), and addresses and routes of its host end."""
        plan = self.plan
        there = LinkEnd(HOST_PORT if plan.lan else NODE_LINK, 0, b"" if plan.lan else plan.node_mac)
        with rtnetlink.open_socket() as sock:
            span = Span(LinkEnd(plan.host_link, 0, plan.host_mac), there, pin, plan.owner)
            index = uplink.lay(sock, span, far)
            if any(family.version == 6 for family in plan.families):
                for name, value in _HOST_SYSCTLS.items():
                    Path("/proc/sys/net/ipv6/conf", plan.host_link, name).write_text(value)
            requests = [
                request for family in plan.families for request in netlink.own_address(family.host, index)
            ]
            rtnetlink.carry_out(sock, requests)
            routes = hostnetworks.main_table(sock)
            held = {route.network: route.index for route in routes}
            requests = []
            for family in plan.families:
                if family.host.network not in held:  # it came with the address, and somebody took it away
                    own, link = family.host, netlink.SCOPE_LINK
                    requests.append(netlink.add_route(own.network, index, source=own.ip, scope=link))
                ranges = (family.cluster_cidr, family.service_cidr, *family.load_balancers)
                requests += self._host_requests(family, index, ranges, held)
            rtnetlink.carry_out(sock, requests)
            gone = [netlink.delete_route(network) for network in hostnetworks.left_over(plan, index, routes)]
            rtnetlink.carry_out(sock, gone, {errno.ESRCH})

    def _host_requests(
        self, family: FamilyPlan, index: int, ranges: Sequence[Network], held: dict[Network | None, int]
    ) -> Iterator[Request]:
        """What the host needs to reach these ranges through this node."""
        yield netlink.add_neighbour(family.node.ip, self.plan.node_mac, index)
        for network in ranges:
            if held.get(network, index) != index:
                raise IndexTaken(
                    f"the host already routes {network} elsewhere (`ip route`); "
                    f"cluster {self.plan.name!r} needs it"
                )
            if network not in held:
                yield netlink.add_route(network, index, gateway=family.node.ip, replace=False)

    async def _connect_lan(self, lan: Path, end: Link | None) -> None:
        """This node's leg of the LAN, and the host's if this is the first node."""
        found = await self.traveller.run(lan, lambda: self._in_lan(uplink.prepare_lan))
        if not uplink.is_joined(end, found.get(port_of(self.plan.number))) and end is not None:
            # It hung on the host directly, or its LAN is gone.
            await self.inside(self._drop_uplink)
            end = None
        if not self.plan.number:
            await asyncio.to_thread(self._connect_host, found.get(HOST_PORT), lan)
        else:
            await self.reach_from_host()
        await self.traveller.run(lan, lambda: self._in_lan(lambda sock: self._plug(sock, end)))

    def _hangs_on_host(self, end: Link) -> bool:
        with rtnetlink.open_socket() as sock:
            return uplink.is_joined(end, uplink.find_links(sock).get(self.plan.host_link))

    async def _settle(self) -> None:
        """Both ends of each veth are up now: all of them carry the first packet."""
        plan = self.plan
        if plan.lan is not None:
            # A bridge forwards to a port only once it has heard that there is a carrier.
            await self.traveller.run(plan.lan, lambda: rtnetlink.settle_carrier(port_of(plan.number)))
        if not plan.number:
            await asyncio.to_thread(rtnetlink.settle_carrier, plan.host_link)

    def _in_lan(self, work: Callable[[Socket], namespace.T]) -> namespace.T:
        with self._socket() as sock:
            return work(sock)

    def _plug(self, sock: Socket, end: Link | None) -> None:
        port = port_of(self.plan.number)
        far = LinkEnd(NODE_LINK, 0, self.plan.node_mac)
        uplink.lay(sock, Span(LinkEnd(port, 0, b""), far, self.plan.pin), end)
        for name in (port,) if self.plan.number else (port, HOST_PORT):
            uplink.plug(sock, name)

    def _unplug(self) -> None:
        with self._socket() as sock:
            port = uplink.find_links(sock).get(port_of(self.plan.number))
            if port is not None:
                rtnetlink.carry_out(sock, [devices.delete_link(port.index)], {errno.ENODEV})

    def _drop_uplink(self) -> None:
        with self._socket() as sock:
            index = socket.if_nametoindex(NODE_LINK)
            rtnetlink.carry_out(sock, [devices.delete_link(index)], {errno.ENODEV})

    def _reach_from_host(self) -> None:
        """The host's direct way to the Pods of a further node."""
        with rtnetlink.open_socket() as sock:
            link = uplink.find_links(sock).get(self.plan.host_link)
            if link is None or link.alias != self.plan.owner:
                raise NetworkFault(
                    f"the host has no way into cluster {self.plan.name!r}: its first node makes it"
                )
            held = {route.network: route.index for route in hostnetworks.main_table(sock)}
            for family in self.plan.families:
                requests = self._host_requests(family, link.index, (family.pod_cidr,), held)
                rtnetlink.carry_out(sock, list(requests))

    def _connect_node(self) -> None:
        plan = self.plan
        index = socket.if_nametoindex(NODE_LINK)
        requests = [devices.raise_link(index)]
        for family in plan.families:
            requests += [
                *netlink.own_address(family.node, index),
                netlink.add_neighbour(family.host.ip, plan.host_mac, index),
                netlink.add_route(family.default, index, gateway=family.host.ip, source=family.node.ip),
                # A Pod address nobody has must not travel to the host and back until its TTL ends.
                netlink.add_route(family.pod_cidr, kind=netlink.UNREACHABLE),
            ]
        with self._socket() as sock:
            rtnetlink.carry_out(sock, requests)
        rtnetlink.settle_carrier(NODE_LINK)

    def _disconnect(self) -> None:
        """Deletes our host link, with its routes, addresses and far end; a further node's routes alone."""
        plan = self.plan
        with rtnetlink.open_socket() as sock:
            link = uplink.find_links(sock).get(plan.host_link)
            if link is None or link.alias != plan.owner:
                return
            gone: list[Request] = [devices.delete_link(link.index)]
            if plan.number:
                gone = []
                for family in plan.families:
                    gone.append(netlink.delete_route(family.pod_cidr))
                    gone.append(netlink.delete_neighbour(family.node.ip, link.index))
            rtnetlink.carry_out(sock, gone, {errno.ENODEV, errno.ESRCH, errno.ENOENT})

    @contextmanager
    def _socket(self) -> Iterator[Socket]:
        """An rtnetlink socket where the traveller is."""
        with rtnetlink.open_socket() as sock:
            self.traveller.fence(sock)
            yield sock


def choose_plan(
    name: str, pin: Path, memory: Path, kept: Collection[int] = (), **more: Unpack[PlanOptions]
) -> NodePlan:
    """The plan cluster `name` had before, as remembered in the file `memory`, or a new one that is free.

    The index must outlive a reboot: the Services in the store carry addresses of its range. Those that other
    clusters have `kept` for their next `up` are left to them.
    """
    try:
        return node_plan(int(json.loads(memory.read_text())["index"]), name, pin, **more)
    except FileNotFoundError:
        if more.get("number"):
            raise NetworkFault(
                f"{memory} is missing: the cluster's first node chooses the addresses"
            ) from None
        taken = [*hostnetworks.listed(), *map(ip_network, more.get("load_balancers", ()))]
        index = free_index(taken, kept)
    except (ValueError, LookupError, TypeError) as error:
        index = uplink_index(name, pin, NetworkFault(f"{memory} cannot be read: {error}"))
    remember(memory, index)
    return node_plan(index, name, pin, **more)


def uplink_index(name: str, pin: Path, otherwise: NetworkFault) -> int:
    """The index that cluster `name` has by its uplink on the host; raises `otherwise` if it has none."""
    with rtnetlink.open_socket() as sock:
        links = {link.name: link.alias for link in devices.links(rtnetlink.dump(sock, devices.get_links()))}
    for index in range(MAX_INDEX + 1):
        plan = node_plan(index, name, pin)
        if links.get(plan.host_link) == plan.owner:
            return index
    raise otherwise


def remember(memory: Path, index: int) -> None:
    """Writes the choice so that a crash leaves either no file or a whole one."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    draft = memory.with_name(f"{memory.name}.{time.monotonic_ns()}")
    draft.write_text(json.dumps({"index": index}))
    draft.replace(memory)


async def ensure_node(
    name: str,
    pin: Path,
    memory: Path,
    *,
    kept: Collection[int] = (),
    attempts: int = 5,
    **more: Unpack[PlanOptions],
) -> NodeNamespace:
    """A ready node for cluster `name`. A first choice of index that another cluster wins is made again.

    Without `families`, all that the kernel has. `memory` is the cluster's: further nodes only read it.
    """
    more["families"] = families.usable(tuple(more.get("families", ())))
    new = not memory.exists()
    for attempt in range(attempts):
        node = NodeNamespace(await asyncio.to_thread(choose_plan, name, pin, memory, kept, **more))
        try:
            await node.ensure()
            return node
        except IndexTaken:
            node.close()
            if not new or attempt == attempts - 1:
                raise
            memory.unlink(missing_ok=True)
    raise NetworkFault("no free cluster index")
