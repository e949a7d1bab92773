"""Pods on routed veths: no bridge, the node routes between them.

Node side: `podN` with the link-local gateway and a host route to the Pod whose source is the node's own
address. Pod side: `eth0` with the Pod's addresses, and everything by way of the gateway. Both ends know the
other's MAC for good, so no neighbour discovery ever delays a first packet. Index and name follow from the
address, so nothing has to be looked up: two datagrams to the kernel make a Pod's network, whatever its
families. A Pod keeps the addresses it began with when the cluster gets another family.

Who holds which addresses stands in one file per Pod, named by the first; the kernel's links are the other
half of the truth.
Everything here runs on the traveller's thread, one Pod after the other.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from sampan.kubelet.network import devices, netlink, rtnetlink
from sampan.kubelet.network.contract import NetworkFault, PodAddresses
from sampan.kubelet.network.devices import LinkEnd
from sampan.kubelet.network.netlink import Address, Request
from sampan.kubelet.network.node import NodeNamespace
from sampan.kubelet.network.plan import DEFAULT_ROUTES, GATEWAY_MAC, POD_GATEWAYS, FamilyPlan

_T = TypeVar("_T")

_POD_LINK = "eth0"
_POD_INDEX = 100
"""Above what some kernels put into every new namespace (tunl0, sit0, ...)."""
_LOOPBACK = 1
_FIRST_INDEX = 1000
"""Node-side links are numbered from here by the offset of the Pod's address in its range."""
_LAST = "last"
_IPV6_OFF = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


@dataclass(frozen=True, slots=True)
class Lease:
    """Addresses and who holds them; `inode` is the namespace their veth leads to, 0 while not known."""

    uid: str
    ips: tuple[str, ...]
    inode: int

    @property
    def name(self) -> str:
        """Of the file."""
        return self.ips[0]


class VethNetwork:
    """Keeps `contract.PodNetwork`. Addresses are handed out round robin, so a freed one rests longest."""

    def __init__(self, node: NodeNamespace, state_dir: Path) -> None:
        self.node_ips: tuple[str, ...] = node.plan.node_ips
        self._node = node
        self._plan = node.plan
        self._families: Mapping[int, FamilyPlan] = {row.version: row for row in node.plan.families}
        self._state = state_dir
        self._leases: dict[str, Lease] = {}
        self._taken: set[int] = set()
        self._last = 1
        self._wired: set[Lease] = set()
        """Those known to be complete; one read back from disk is not until it has been looked at again."""
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Reads back who holds which address. One whose veth is gone, after a reboot say, is free again."""
        self._state.mkdir(parents=True, exist_ok=True)
        indexes = await self._inside(self._link_indexes)
        newest = 0
        for path in self._state.iterdir():
            changed = path.stat().st_mtime_ns
            if path.name == _LAST:
                offset = int(path.read_text() or 1)
            elif (lease := _read(path)) and self._rows(lease):
                offset = self._offset(lease)
                if _FIRST_INDEX + offset in indexes:
                    self._leases[lease.uid] = lease
                    self._taken.add(offset)
                else:
                    path.unlink()
            else:
                continue
            if changed > newest:
                newest, self._last = changed, offset

    async def attach(self, uid: str, netns: str) -> PodAddresses:
        lease = self._leases.get(uid) or self._lease(uid)
        complete = lease in self._wired
        try:
            wired = await self._inside(lambda: self._wire(lease, netns, complete))
        except (OSError, NetworkFault) as error:
            raise NetworkFault(f"cannot set up the network of Pod {uid} ({lease.name}): {error}") from error
        if uid in self._leases:
            self._leases[uid] = wired
            self._wired.discard(lease)
            self._wired.add(wired)
        return PodAddresses(wired.ips)

    async def detach(self, uid: str) -> None:
        lease = self._leases.get(uid)
        if lease is None:
            return
        await self._inside(lambda: self._unwire(lease))
        (self._state / lease.name).unlink(missing_ok=True)
        (self._state / _LAST).write_text(str(self._last))
        if self._leases.pop(uid, None) is not None:
            self._taken.discard(self._offset(lease))
            self._wired.discard(lease)

    def addresses(self, uid: str) -> PodAddresses | None:
        lease = self._leases.get(uid)
        return PodAddresses(lease.ips) if lease else None

    def close(self) -> None:
        """Lets go of the netlink socket; every Pod keeps its network."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _lease(self, uid: str) -> Lease:
        """Takes the next free addresses. No await: two attaches cannot get the same ones."""
        offset = next_free(self._last, self._taken, self._plan.pod_offsets)
        self._taken.add(offset)
        self._last = offset
        lease = Lease(uid, tuple(str(row.pod_cidr[offset]) for row in self._plan.families), 0)
        self._leases[uid] = lease
        return lease

    def _write(self, lease: Lease) -> None:
        value = {"uid": lease.uid, "inode": lease.inode, "ips": lease.ips}
        (self._state / lease.name).write_text(json.dumps(value))

    def _rows(self, lease: Lease) -> list[tuple[Address, FamilyPlan]]:
        """Each of its addresses with the family's row; none of a family that the cluster has no more."""
        found = [ip_address(ip) for ip in lease.ips]
        return [(ip, self._families[ip.version]) for ip in found if ip.version in self._families]

    def _offset(self, lease: Lease) -> int:
        """In the ranges of all families; the first address may be of one that the kernel has no more."""
        ip, row = self._rows(lease)[0]
        return int(ip) - int(row.pod_cidr.network_address)

    async def _inside(self, work: Callable[[], _T]) -> _T:
        return await self._node.inside(work)

    def _wire(self, lease: Lease, netns: str, complete: bool) -> Lease:
        """The veth and both its ends. On the traveller's thread, in the node's namespace."""
        sock = self._node_socket()
        offset = self._offset(lease)
        index, mac = _FIRST_INDEX + offset, self._plan.pod_mac(offset)
        rows = self._rows(lease)
        near = node_requests(rows, index, mac)
        with Path(netns).open("rb") as namespace:
            wanted = replace(lease, inode=os.fstat(namespace.fileno()).st_ino)
            if lease != wanted or not _exists(index):
                # Noted first: nobody would know whose a veth without a note is.
                self._write(wanted)
                here = LinkEnd(_name(index), index, GATEWAY_MAC)
                there = LinkEnd(_POD_LINK, _POD_INDEX, mac)
                mtu = self._plan.mtu if self._plan.overlay else 0
                veth = devices.create_veth(here, there, namespace.fileno(), mtu)
                self._create(sock, [veth, *near], index, netns)
            elif complete:
                return lease
            else:
                rtnetlink.carry_out(sock, near)
        with self._inside_pod(netns) as pod:
            try:
                rtnetlink.carry_out(pod, pod_requests(rows))
            except rtnetlink.NetlinkFault as fault:
                if fault.number != errno.EACCES:
                    raise
                # On some machines new namespaces begin without (ipv6.disable_ipv6=1 at boot, say).
                _IPV6_OFF.write_text("0")
                rtnetlink.carry_out(pod, pod_requests(rows))
        rtnetlink.settle_carrier(_name(index))
        return wanted

    def _create(self, sock: socket.socket, requests: list[Request], index: int, netns: str) -> None:
        """The first of `requests` makes the veth."""
        try:
            rtnetlink.carry_out(sock, requests)
        except rtnetlink.NetlinkFault as fault:
            if fault.number != errno.EEXIST:
                raise
            # Left from an earlier holder of the address, or from the Pod's earlier address.
            rtnetlink.carry_out(sock, [devices.delete_link(index)], {errno.ENODEV})
            with self._inside_pod(netns) as pod:
                rtnetlink.carry_out(pod, [devices.delete_link(_POD_INDEX)], {errno.ENODEV})
            rtnetlink.carry_out(sock, requests)

    def _unwire(self, lease: Lease) -> None:
        """The addresses are unreachable at once. Deleting the link would cost 40 ms of the kernel's lock."""
        gone = [netlink.delete_route(netlink.host_route(ip)) for ip, _ in self._rows(lease)]
        rtnetlink.carry_out(self._node_socket(), gone, {errno.ESRCH})

    def _link_indexes(self) -> set[int]:
        links = devices.links(rtnetlink.dump(self._node_socket(), devices.get_links()))
        return {link.index for link in links}

    def _node_socket(self) -> socket.socket:
        if self._socket is None:
            self._socket = rtnetlink.open_socket()
            self._node.traveller.fence(self._socket)
        return self._socket

    @contextmanager
    def _inside_pod(self, netns: str) -> Iterator[socket.socket]:
        with self._node.traveller.detour(netns), rtnetlink.open_socket() as sock:
            self._node.traveller.fence(sock)
            yield sock


def next_free(last: int, taken: set[int], offsets: range) -> int:
    """The first free offset after `last`, round and round; NetworkFault when all are taken."""
    for step in range(1, len(offsets) + 1):
        offset = offsets[(last - offsets.start + step) % len(offsets)]
        if offset not in taken:
            return offset
    raise NetworkFault(f"no free Pod address: all {len(offsets)} are in use")


def node_requests(rows: Sequence[tuple[Address, FamilyPlan]], index: int, mac: bytes) -> list[Request]:
    """What the node's end of a Pod's veth needs besides the link; `mac` is the Pod's.

    Only IPv4 has the gateway's address on the link: with it, a Pod whose entry for the gateway is gone asks
    and is answered. IPv6 addresses go with such an entry, so there is nobody left to ask.
    """
    requests = []
    for pod, family in rows:
        if pod.version == 4:
            requests.append(netlink.add_address(family.gateway, index, netlink.SCOPE_LINK))
        requests += [
            netlink.add_neighbour(pod, mac, index),
            netlink.add_route(
                netlink.host_route(pod),
                index,
                # Without it, the node's own packets to the Pod would come from the gateway's address.
                source=family.node.ip,
                scope=netlink.SCOPE_LINK,
            ),
        ]
    return requests


def pod_requests(rows: Sequence[tuple[Address, FamilyPlan]]) -> list[Request]:
    """What the Pod's end needs: its addresses, and the gateway as the way to everything."""
    requests = [devices.raise_link(_LOOPBACK), devices.raise_link(_POD_INDEX)]
    if any(pod.version == 6 for pod, _ in rows):
        requests.insert(0, devices.give_no_address(_POD_INDEX))
    for pod, family in rows:
        own = type(family.gateway)((pod.packed, pod.max_prefixlen))
        requests += netlink.own_address(own, _POD_INDEX)
        requests += _way_out(pod.version)
    return requests


@functools.cache
def _way_out(version: int) -> Sequence[Request]:
    """By the gateway; the same in every Pod."""
    gateway = POD_GATEWAYS[version]
    neighbour = netlink.add_neighbour(gateway.ip, GATEWAY_MAC, _POD_INDEX)
    default = netlink.add_route(DEFAULT_ROUTES[version], _POD_INDEX, gateway=gateway.ip)
    if version == 6:  # fe80::1 is on its link by itself
        return neighbour, default
    return neighbour, netlink.add_route(gateway.network, _POD_INDEX, scope=netlink.SCOPE_LINK), default


def _name(index: int) -> str:
    return f"pod{index - _FIRST_INDEX}"


def _exists(index: int) -> bool:
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True


def _read(path: Path) -> Lease | None:
    """A lease file; None for one that a crash left unfinished (its Pod gets attached anew)."""
    try:
        value = json.loads(path.read_text())
        return Lease(value["uid"], tuple(value.get("ips") or (path.name,)), value["inode"])
    except (ValueError, KeyError):
        path.unlink()
        return None
