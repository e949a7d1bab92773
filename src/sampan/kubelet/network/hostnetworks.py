"""What the host routes: its own networks, and what it does for a cluster.

What looks at the kernel blocks, and looks at the namespace that the calling thread is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from socket import socket as Socket

from sampan.kubelet.network import netlink, rtnetlink, uplink
from sampan.kubelet.network.netlink import Network, Route
from sampan.kubelet.network.plan import NodePlan, is_within


def left_over(plan: NodePlan, index: int, routes: Iterable[Route]) -> Iterator[Network]:
    """What we had the host route through this link earlier, such as a pool of load balancers. Pure."""
    for route in routes:
        network = route.network
        if network is None or (route.index, route.protocol) != (index, netlink.PROTOCOL_STATIC):
            continue
        ranges = (
            wanted
            for family in plan.families
            for wanted in (family.cluster_cidr, family.service_cidr, *family.load_balancers)
        )
        if not any(is_within(network, wanted) for wanted in ranges):
            yield network


def main_table(sock: Socket) -> list[Route]:
    found = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
    return [route for route in found if route.table == netlink.MAIN_TABLE]


def listed(besides: str = "") -> list[Network]:
    """Every network that this namespace routes or has an address in, but those of the link `besides`."""
    with rtnetlink.open_socket() as sock:
        link = uplink.find_links(sock).get(besides)
        routes = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
        addresses = netlink.addresses(rtnetlink.dump(sock, netlink.get_addresses()))
    found = [(route.network, route.index) for route in routes if route.network is not None] + addresses
    return [network for network, index in found if link is None or index != link.index]
