"""The DNS server of one node, with its sockets inside the node's namespace."""

from __future__ import annotations

import socket

from sampan import __version__
from sampan.client.informers import Informers
from sampan.dns.server import DnsServer, Identity
from sampan.kubelet.network.node import NodeNamespace

DNS_PORT = 53
DOMAIN = "cluster.local"


async def node_dns(node: NodeNamespace, informers: Informers) -> DnsServer:
    """Bound to the DNS address on the node's loopback, in every family."""
    ips = [str(family.dns) for family in node.plan.families]
    udp = [await bound(node, socket.SOCK_DGRAM, ip, DNS_PORT) for ip in ips]
    tcp = [await bound(node, socket.SOCK_STREAM, ip, DNS_PORT) for ip in ips]
    identity = Identity(
        DOMAIN,
        ips,
        [
            str(network)
            for family in node.plan.families
            for network in (family.cluster_cidr, family.service_cidr)
        ],
        __version__,
    )
    return DnsServer(informers, udp, tcp, identity)


async def bound(node: NodeNamespace, kind: socket.SocketKind, ip: str, port: int) -> socket.socket:
    """A socket of exactly this address; one for TCP listens."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = await node.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((ip, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(512)
    return sock
