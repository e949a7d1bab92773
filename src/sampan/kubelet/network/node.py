"""The node: a network namespace with an uplink to the host, kept exactly as its plan says.

`ensure` looks at what is there and adds what is missing, so the first start, a start after a crash and a
repeated call are the same thing. `remove` takes away whatever it finds. Work inside the namespace runs on the
traveller's thread, work on the host's side on a pool thread; the two never run at the same time.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket as Socket

from sampan.kubelet.network import namespace, netlink, rtnetlink
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.netlink import Link, LinkEnd, Network, Request, mac_of
from sampan.kubelet.network.plan import MAX_INDEX, NodePlan, free_index, node_plan

NODE_LINK = "uplink"
_LOOPBACK = 1
_SYSCTLS: dict[str, str] = {
    "net/ipv4/ip_forward": "1",
    # Strict reverse-path check on every device: a Pod cannot send with another's address.
    "net/ipv4/conf/all/rp_filter": "1",
    # From 127.0.0.1 to a Pod by its host port; the proxy's rules drop what else this would let in.
    "net/ipv4/conf/all/route_localnet": "1",
}


class IndexTaken(NetworkFault):
    """Somebody else owns a link or a route of this plan's index."""


class NodeNamespace:
    """Keeps `contract.Namespace`. Owns the pin, the uplink, and the host's routes through it."""

    def __init__(self, plan: NodePlan, traveller: namespace.Traveller | None = None) -> None:
        self.plan = plan
        self.path = str(plan.pin)
        self.traveller = traveller or namespace.Traveller(f"netns-{plan.name}")

    async def ensure(self) -> None:
        """Brings the namespace and its uplink to the plan. Raises IndexTaken, NetworkFault."""
        if not namespace.is_pinned(self.plan.pin):
            await asyncio.to_thread(namespace.create, self.plan.pin)
        uplink = await self.inside(self._prepare)
        await asyncio.to_thread(self._connect_host, uplink)
        await self.inside(self._connect_node)
        await asyncio.to_thread(rtnetlink.settle_carrier, self.plan.host_link)

    async def remove(self) -> None:
        """Leaves nothing: no link, route, mount or file. Also right when only half of it exists."""
        try:
            await asyncio.to_thread(self._disconnect)
        finally:
            await asyncio.to_thread(namespace.unpin, self.plan.pin)

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

    def _prepare(self) -> Link | None:
        """Sysctls and loopback. Returns the node's end of the uplink if it exists."""
        for name, value in _SYSCTLS.items():
            Path("/proc/sys", name).write_text(value)
        with rtnetlink.open_socket() as sock:
            self.traveller.fence(sock)
            addresses = [netlink.raise_link(_LOOPBACK)]
            for family in self.plan.families:
                dns = type(family.node)(str(family.dns))
                addresses.append(netlink.add_address(dns, _LOOPBACK, netlink.SCOPE_HOST))
            rtnetlink.carry_out(sock, addresses)
            links = netlink.links(rtnetlink.dump(sock, netlink.get_links()))
        return next((link for link in links if link.name == NODE_LINK), None)

    def _connect_host(self, uplink: Link | None) -> None:
        """The veth, and addresses and routes of its host end."""
        plan = self.plan
        with rtnetlink.open_socket() as sock:
            index = self._adopt_host_link(sock, uplink)
            if not index:
                index = self._create_uplink(sock)
            host_routes = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
            held = {route.network: route.index for route in host_routes if route.table == netlink.MAIN_TABLE}
            requests: list[Request] = []
            for family in plan.families:
                requests.append(netlink.add_address(family.host, index))
                requests.append(netlink.add_neighbour(family.node.ip, mac_of(family.node.ip), index))
                for network in (family.pod_cidr, family.service_cidr):
                    if held.get(network, index) != index:
                        raise IndexTaken(
                            f"the host already routes {network} elsewhere (`ip route`); "
                            f"cluster {plan.name!r} needs it"
                        )
                    if network not in held:
                        requests.append(
                            netlink.add_route(network, index, gateway=family.node.ip, replace=False)
                        )
            rtnetlink.carry_out(sock, requests)

    def _adopt_host_link(self, sock: Socket, uplink: Link | None) -> int:
        """The index of our own, whole uplink; 0 when it has to be made. A broken one is deleted."""
        plan = self.plan
        for link in netlink.links(rtnetlink.dump(sock, netlink.get_links())):
            if link.name != plan.host_link:
                continue
            if uplink and (link.index, link.peer_index) == (uplink.peer_index, uplink.index):
                return link.index
            if link.alias != plan.owner:
                # Without a name its owner is making it just now; ours would have its end in our namespace.
                raise IndexTaken(
                    f"address plan {plan.index} of cluster {plan.name!r} is in use: "
                    f"{link.name} belongs to {link.alias or 'somebody'!r}; take that cluster down first"
                )
            rtnetlink.carry_out(sock, [netlink.delete_link(link.index)], {errno.ENODEV})
        return 0

    def _create_uplink(self, sock: Socket) -> int:
        primary = self.plan.families[0]
        here = LinkEnd(self.plan.host_link, 0, mac_of(primary.host.ip))
        there = LinkEnd(NODE_LINK, 0, mac_of(primary.node.ip))
        with self.plan.pin.open("rb") as pin:
            try:
                rtnetlink.carry_out(sock, [netlink.create_veth(here, there, pin.fileno())])
            except rtnetlink.NetlinkFault as fault:
                if fault.number == errno.EEXIST:
                    raise IndexTaken(f"{here.name} was made by somebody else just now") from fault
                raise
        index = socket.if_nametoindex(here.name)
        rtnetlink.carry_out(sock, [netlink.name_link_owner(index, self.plan.owner)])
        return index

    def _connect_node(self) -> None:
        index = socket.if_nametoindex(NODE_LINK)
        requests = [netlink.raise_link(index)]
        for family in self.plan.families:
            requests += [
                netlink.add_address(family.node, index),
                netlink.add_neighbour(family.host.ip, mac_of(family.host.ip), index),
                netlink.add_route(family.default, index, gateway=family.host.ip, source=family.node.ip),
                # A Pod address nobody has must not travel to the host and back until its TTL ends.
                netlink.add_route(family.pod_cidr, kind=netlink.UNREACHABLE),
            ]
        with rtnetlink.open_socket() as sock:
            self.traveller.fence(sock)
            rtnetlink.carry_out(sock, requests)

    def _disconnect(self) -> None:
        """Deletes our host link; its routes, addresses and the node's end go with it."""
        with rtnetlink.open_socket() as sock:
            for link in netlink.links(rtnetlink.dump(sock, netlink.get_links())):
                if link.name == self.plan.host_link and link.alias == self.plan.owner:
                    rtnetlink.carry_out(sock, [netlink.delete_link(link.index)], {errno.ENODEV})


def host_networks() -> list[Network]:
    """Every network that this namespace routes or has an address in."""
    with rtnetlink.open_socket() as sock:
        routes = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
        addresses = netlink.addresses(rtnetlink.dump(sock, netlink.get_addresses()))
    return [route.network for route in routes if route.network is not None] + [net for net, _ in addresses]


def choose_plan(name: str, pin: Path, memory: Path) -> NodePlan:
    """The plan cluster `name` had before, as remembered in the file `memory`, or a new one that is free.

    The index must outlive a reboot: the Services in the store carry addresses of its range.
    """
    try:
        return node_plan(int(json.loads(memory.read_text())["index"]), name, pin)
    except FileNotFoundError:
        index = free_index(host_networks())
    except (ValueError, LookupError, TypeError) as error:
        index = uplink_index(name, pin, NetworkFault(f"{memory} cannot be read: {error}"))
    remember(memory, index)
    return node_plan(index, name, pin)


def uplink_index(name: str, pin: Path, otherwise: NetworkFault) -> int:
    """The index that cluster `name` has by its uplink on the host; raises `otherwise` if it has none."""
    with rtnetlink.open_socket() as sock:
        links = {link.name: link.alias for link in netlink.links(rtnetlink.dump(sock, netlink.get_links()))}
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


async def ensure_node(name: str, pin: Path, memory: Path, attempts: int = 5) -> NodeNamespace:
    """A ready node for cluster `name`. A first choice of index that another cluster wins is made again."""
    new = not memory.exists()
    for attempt in range(attempts):
        node = NodeNamespace(await asyncio.to_thread(choose_plan, name, pin, memory))
        try:
            await node.ensure()
            return node
        except IndexTaken:
            node.close()
            if not new or attempt == attempts - 1:
                raise
            memory.unlink(missing_ok=True)
    raise NetworkFault("no free cluster index")
