"""The DNS server of one node: its sockets, inside the node's namespace, and the parts around it."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from pathlib import Path

from sampan import __version__
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.dns import keeper, pages
from sampan.dns.config import default_corefile
from sampan.dns.keeper import Keeper, Place
from sampan.dns.pages import Pages
from sampan.dns.server import DnsServer, Identity
from sampan.dns.settings import Settings
from sampan.kubelet.network.node import NodeNamespace

log = logging.getLogger(__name__)

DNS_PORT = 53


class NodeDns:
    """Answers on the DNS address, which is on the node's own loopback, and on the node's address, in every
    family. `data` is the node's directory, `reader` sees the whole cluster.
    """

    def __init__(
        self, node: NodeNamespace, name: str, data: Path, domain: str, reader: Client, informers: Informers
    ) -> None:
        self._node, self._name, self._record, self._domain = node, name, record(data), domain
        self._reader, self._informers = reader, informers

    async def run(self) -> None:
        server = await self._server()
        ips = (*self._node.plan.dns_ips, *self._node.plan.node_ips)
        about = [await self._try(Place(socket.SOCK_STREAM, ip, pages.METRICS_PORT)) for ip in ips]
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run(), name="dns-server")
            group.create_task(Pages(server, [sock for sock in about if sock]).run(), name="dns-pages")

    async def _server(self) -> DnsServer:
        plan = self._node.plan
        kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        places = [Place(kind, ip, DNS_PORT) for ip in (*plan.dns_ips, *plan.node_ips) for kind in kinds]
        self._record.parent.mkdir(parents=True, exist_ok=True)
        sockets = await Keeper(self._record, plan.pin, self._open).sockets(places)
        udp, tcp = ([sock for place, sock in sockets.items() if place.kind == kind] for kind in kinds)
        ranges = (*plan.cluster_cidrs, *plan.service_cidrs)
        identity = Identity(self._domain, plan.dns_ips, ranges, __version__)
        server = DnsServer(self._informers, udp, tcp, identity, own=plan.node_ips)
        events = EventRecorder(self._reader, "coredns", self._name)
        settings = Settings(self._informers, events, server.configure, default_corefile(self._domain))
        server.loop_found = settings.loop_found
        return server

    async def _try(self, place: Place) -> socket.socket | None:
        """None if a Pod on the node's network has the port: numbers are not worth a quarrel."""
        try:
            return await self._open(place)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            log.warning("%s port %d is in use: no numbers about DNS are shown there", place.ip, place.port)
            return None

    async def _open(self, place: Place) -> socket.socket:
        """A socket of exactly this address; one for TCP listens."""
        family = socket.AF_INET6 if ":" in place.ip else socket.AF_INET
        sock = await self._node.socket(family, place.kind)
        try:
            if place.kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((place.ip, place.port))
            if place.kind == socket.SOCK_STREAM:
                sock.listen(512)
        except OSError:
            sock.close()
            raise
        return sock


def record(data: Path) -> Path:
    return data / "run" / "dns-sockets.json"


def end(data: Path) -> None:
    """Lets go of the sockets of the node whose directory this is; for `down`."""
    keeper.end(record(data))
