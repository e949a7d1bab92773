"""What the host routes: its own networks, and what it does for a cluster.

What looks at the kernel blocks, and looks at the namespace that the calling thread is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from socket import socket as Socket

from sampan.kubelet.network import netlink, rtnetlink, uplink
from sampan.kubelet.network.netlink import Network, Reply, Route
from sampan.kubelet.network.plan import FamilyPlan, NodePlan, is_within


def left_over(plan: NodePlan, index: int, routes: Iterable[Route]) -> Iterator[Network]:
    """What we had the host route through this link earlier, such as a pool of load balancers. Pure."""
    for route in routes:
        network = route.network
        if network is None or (route.index, route.protocol) != (index, netlink.PROTOCOL_STATIC):
            continue
        ranges = (wanted for family in plan.families for wanted in (family.host.network, *_ranges(family)))
        if not any(is_within(network, wanted) for wanted in ranges):
            yield network


def _ranges(family: FamilyPlan) -> tuple[Network, ...]:
    return (family.cluster_cidr, family.service_cidr, *family.load_balancers)


def missing(plan: NodePlan) -> str:
    """What the host lacks of its way into the cluster, in words; "" while it has all, or its link is down."""
    with rtnetlink.open_socket() as sock:
        link = uplink.find_links(sock).get(plan.host_link)
        if link is None or link.alias != plan.owner:
            return "its link"
        if not link.up:
            return ""
        routes = {route.network for route in main_table(sock) if route.index == link.index}
        own = {network for network, at in netlink.addresses(_addresses(sock)) if at == link.index}
    for family in plan.families:
        if family.host.network not in own:
            return f"the address {family.host.ip}"
        for network in (family.host.network, *_ranges(family)):
            if network not in routes:
                return f"the route to {network}"
    return ""


def _addresses(sock: Socket) -> list[Reply]:
    return rtnetlink.dump(sock, netlink.get_addresses())


def main_table(sock: Socket) -> list[Route]:
    found = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
    return [route for route in found if route.table == netlink.MAIN_TABLE]


def listed(besides: str = "") -> list[Network]:
    """Every network that this namespace routes or has an address in, but those of the link `besides`."""
    with rtnetlink.open_socket() as sock:
        link = uplink.find_links(sock).get(besides)
        routes = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
        addresses = netlink.addresses(_addresses(sock))
    found = [(route.network, route.index) for route in routes if route.network is not None] + addresses
    return [network for network, index in found if link is None or index != link.index]
