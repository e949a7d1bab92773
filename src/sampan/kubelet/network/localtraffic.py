"""The host's ways to load balancers that keep to the endpoints of one node (externalTrafficPolicy: Local).

All of the host's traffic to the cluster's virtual addresses enters by the first node; for these, a node
without an endpoint of its own drops it. So the host does what a cloud's load balancer does by health checks:
it has a route for each such address, by way of the nodes that have endpoints. Among several the kernel
chooses by the packet's addresses (fib_multipath_hash_policy, which is the host's to set).

One task owns all state. Handlers note what changed, and only what concerns such a Service.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from socket import if_nametoindex

from sampan.api.objects import Obj, key_of, labels_of, name_of, namespace_of
from sampan.api.resources import ENDPOINT_SLICES, NODES, SERVICES
from sampan.client.informers import Informers
from sampan.kubelet.network import netlink, rtnetlink
from sampan.kubelet.network.netlink import Address, Network, host_route
from sampan.kubelet.network.plan import NodePlan
from sampan.kubelet.network.routes import PROTOCOL

log = logging.getLogger(__name__)

Ways = Mapping[Network, tuple[Address, ...]]

_SERVICE = "service"
_SERVICE_NAME = "kubernetes.io/service-name"


def ways(service: Obj, slices: Iterable[Obj], nodes: Mapping[str, Sequence[Address]]) -> Ways:
    """Its addresses with the nodes that have endpoints; none of a Service that any node serves.

    `nodes`: addresses by node name. While no endpoint is ready, those that serve to their end count.
    """
    if not keeps_to_nodes(service):
        return {}
    found: dict[Network, tuple[Address, ...]] = {}
    addresses = [ip_address(entry["ip"]) for entry in _ingress(service) if entry.get("ip")]
    known = list(slices)
    for address in addresses:
        family = f"IPv{address.version}"
        endpoints = [
            endpoint
            for each in known
            if each.get("addressType") == family
            for endpoint in each.get("endpoints") or ()
        ]
        ready = [each for each in endpoints if (each.get("conditions") or {}).get("ready") is not False]
        serving = [each for each in endpoints if (each.get("conditions") or {}).get("serving")]
        names = sorted({each.get("nodeName") or "" for each in ready or serving})
        gateways = [ip for name in names for ip in nodes.get(name, ()) if ip.version == address.version]
        if gateways:
            found[host_route(address)] = tuple(gateways)
    return found


def keeps_to_nodes(service: Obj) -> bool:
    return (service.get("spec") or {}).get("externalTrafficPolicy") == "Local" and bool(_ingress(service))


def _ingress(service: Obj) -> Sequence[Obj]:
    found: Sequence[Obj] = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return found


class LocalTraffic:
    """Runs once for a cluster, where the host's routes are; idle while there is but one node."""

    def __init__(self, plan: NodePlan, informers: Informers) -> None:
        self._plan = plan
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._nodes = informers.informer(NODES)
        self._local: set[str] = set()
        """Keys of the Services that keep to nodes."""
        self._changed = asyncio.Event()
        self._held: dict[Network, tuple[Address, ...]] = {}

    async def run(self) -> None:
        self._slices.add_index(_SERVICE, _services_of)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._nodes.subscribe(self._node_changed)
        for informer in (self._services, self._slices, self._nodes):
            await informer.wait_synced()
        await asyncio.to_thread(self._forget_stale)
        while True:
            self._changed.clear()
            await asyncio.to_thread(functools.partial(self._bring_to, self._wanted()))
            await self._changed.wait()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        key = key_of(new or old or {})
        was, now = key in self._local, new is not None and keeps_to_nodes(new)
        (self._local.add if now else self._local.discard)(key)
        if was or now:
            self._changed.set()

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        if any(key in self._local for each in (old, new) if each for key in _services_of(each)):
            self._changed.set()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if self._local and (old is None or new is None or _addresses(old) != _addresses(new)):
            self._changed.set()

    def _wanted(self) -> Ways:
        nodes = {name_of(node): _addresses(node) for node in self._nodes.list()} if self._local else {}
        if len(nodes) < 2:
            return {}
        found: dict[Network, tuple[Address, ...]] = {}
        for key in sorted(self._local):
            service = self._services.get(key)
            if service is not None:
                found |= ways(service, self._slices.by_index(_SERVICE, key), nodes)
        pools = self._pools()
        return {network: far for network, far in found.items() if any(_in(network, pool) for pool in pools)}

    def _pools(self) -> list[Network]:
        return [network for family in self._plan.families for network in family.load_balancers]

    def _forget_stale(self) -> None:
        """What an earlier process left; what is wanted comes back in the same moment."""
        with rtnetlink.open_socket() as sock:
            index = if_nametoindex(self._plan.host_link)
            found = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
            wanted = self._wanted()
            pools = self._pools()
            for route in found:
                if (
                    route.protocol == PROTOCOL
                    and route.index in (index, 0)
                    and route.network is not None
                    and route.network not in wanted
                    and any(_in(route.network, pool) for pool in pools)
                ):
                    rtnetlink.carry_out(sock, [netlink.delete_route(route.network)], {errno.ESRCH})

    def _bring_to(self, wanted: Ways) -> None:
        with rtnetlink.open_socket() as sock:
            index = if_nametoindex(self._plan.host_link)
            for network, gateways in wanted.items():
                if self._held.get(network) == gateways:
                    continue
                try:
                    request = netlink.add_spread_route(network, index, gateways, PROTOCOL)
                    rtnetlink.carry_out(sock, [request])
                    self._held[network] = gateways
                except rtnetlink.NetlinkFault as fault:
                    log.warning("no way for the host to %s by %s: %s", network, gateways, fault)
            for network in self._held.keys() - wanted.keys():
                del self._held[network]
                rtnetlink.carry_out(sock, [netlink.delete_route(network)], {errno.ESRCH})


def _services_of(each: Obj) -> tuple[str, ...]:
    name = labels_of(each).get(_SERVICE_NAME)
    return (f"{namespace_of(each)}/{name}",) if name else ()


def _addresses(node: Obj) -> tuple[Address, ...]:
    entries = (node.get("status") or {}).get("addresses") or ()
    return tuple(ip_address(entry["address"]) for entry in entries if entry.get("type") == "InternalIP")


def _in(network: Network, pool: Network) -> bool:
    return network.version == pool.version and network.network_address in pool
