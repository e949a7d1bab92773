"""Node ports on the host's own loopback: `curl localhost:30080`.

A node port answers on the nodes' addresses. On 127.0.0.1 and ::1 of the host, where users of clusters on one
machine look for it first, this process listens itself and passes TCP connections on: to the first node, or
for a Service that keeps to the nodes with endpoints to one of these. A port that another program has on the
loopback stays that program's.

All state belongs to the event loop. Handlers note what changed; one task opens and closes listeners.
Connections that stand outlive their listener, as they outlive their Service in the kernel.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address

from sampan.api.objects import Obj, key_of, name_of
from sampan.api.resources import ENDPOINT_SLICES, NODES, SERVICES
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.kubelet.network import localtraffic, tcprelay
from sampan.kubelet.network.hostroutes import services_of
from sampan.kubelet.network.netlink import Address
from sampan.kubelet.network.plan import NodePlan

log = logging.getLogger(__name__)

LOOPBACKS = ("127.0.0.1", "::1")
_SERVICE = "service"
_TYPES = ("NodePort", "LoadBalancer")

Place = tuple[str, int]


def node_ports(service: Obj) -> frozenset[int]:
    """Those at which TCP is served."""
    spec = service.get("spec") or {}
    if spec.get("type") not in _TYPES:
        return frozenset()
    ports = spec.get("ports") or ()
    return frozenset(
        port["nodePort"] for port in ports if port.get("nodePort") and port.get("protocol", "TCP") == "TCP"
    )


def entrances(
    service: Obj,
    slices: Iterable[Obj],
    nodes: Mapping[str, Sequence[Address]],
    first: Sequence[Address],
    version: int,
) -> list[Address]:
    """Where a connection may go on: nodes' addresses, those of this family before the other's. Pure.

    `first`: the first node's, of each family that it has.
    """
    spec = service.get("spec") or {}
    families = [int(text[-1]) for text in spec.get("ipFamilies") or ("IPv4",)]
    families.sort(key=lambda family: family != version)
    if not localtraffic.keeps_to_nodes(service) or len(nodes) < 2:
        return [ip for family in families for ip in first if ip.version == family]
    known = list(slices)
    return [ip for family in families for ip in localtraffic.entrances(service, known, nodes, family)]


class LocalPorts:
    """Runs once for a cluster, where the host is."""

    def __init__(self, plan: NodePlan, informers: Informers, events: EventRecorder) -> None:
        self._first = [ip_address(text) for text in plan.node_ips]
        self._events = events
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._nodes = informers.informer(NODES)
        self._ports: dict[str, frozenset[int]] = {}
        """By key, of the Services that have some."""
        self._dirty: set[str] = set()
        """Of these, what listens is not what is to."""
        self._servers: dict[Place, asyncio.Server] = {}
        self._owners: dict[int, str] = {}
        self._turn = itertools.count()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        self._slices.add_index(_SERVICE, services_of)
        self._services.subscribe(self._service_changed)
        for informer in (self._services, self._slices, self._nodes):
            await informer.wait_synced()
        try:
            while True:
                self._changed.clear()
                dirty, self._dirty = self._dirty, set()
                await self._settle(dirty)
                await self._changed.wait()
        finally:
            for server in self._servers.values():
                server.close()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        key = key_of(new or old or {})
        ports = node_ports(new) if new is not None else frozenset()
        if ports != self._ports.get(key, frozenset()):
            self._ports.pop(key, None)
            if ports:
                self._ports[key] = ports
            self._dirty.add(key)
            self._changed.set()

    async def _settle(self, dirty: Collection[str]) -> None:
        """What is given up comes first: another Service may have it by now."""
        for port in [port for port, key in self._owners.items() if key in dirty]:
            if port not in self._ports.get(self._owners[port], ()):
                del self._owners[port]
                for host in LOOPBACKS:
                    if (server := self._servers.pop((host, port), None)) is not None:
                        server.close()
        for key in sorted(dirty):
            for port in sorted(self._ports.get(key, frozenset()) - self._owners.keys()):
                self._owners[port] = key
                for host in LOOPBACKS:
                    await self._listen((host, port), key)

    async def _listen(self, place: Place, key: str) -> None:
        try:
            listener = _listener(place)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return  # this machine has no such loopback
            self._tell(place, key, error)
            return
        version = 6 if ":" in place[0] else 4
        self._servers[place] = await tcprelay.serve(listener, lambda _: self._goal(place[1], version))

    def _tell(self, place: Place, key: str, error: OSError) -> None:
        log.info("node port %d of %s is not served on %s: %s", place[1], key, place[0], error)
        service = self._services.get(key)
        if service is not None:
            self._events.event(
                service,
                "Warning",
                "NodePortNotOnLoopback",
                f"port {place[1]} of the host's {place[0]} is not to be had ({error.strerror}); "
                "the nodes' addresses serve it",
            )

    def _goal(self, port: int, version: int) -> list[Place]:
        """Those of the family that was asked for come first, and take turns; none while nobody serves."""
        service = self._services.get(self._owners.get(port, ""))
        if service is not None:
            listed = self._nodes.list() if localtraffic.keeps_to_nodes(service) else ()
            nodes = {name_of(node): localtraffic.node_addresses(node) for node in listed}
            slices = self._slices.by_index(_SERVICE, key_of(service))
            found = entrances(service, slices, nodes, self._first, version)
            turn = next(self._turn)
            places = []
            for family in dict.fromkeys(ip.version for ip in found):
                near = [ip for ip in found if ip.version == family]
                places.append((str(near[turn % len(near)]), port))
            return places
        return []


def _listener(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.listen(tcprelay.BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
