"""The host's routes to what comes and goes with the API's objects; what stays is the uplink's (`node`).

- Ranges that ServiceCIDRs add, and Services' external IPs: by the first node, as all of the host's traffic to
  virtual addresses.
- Addresses from outside of Services that keep to the nodes with endpoints (`localtraffic`): by these. Among
  several the kernel chooses by the packet's addresses (fib_multipath_hash_policy, which is the host's to
  set).

What the host routes itself is its own: a range that meets one of its networks gets no route, nor does an
external IP that is the host's or one of its gateways'. Ours go with the link that they lead through.

One task owns all state. Handlers note what changed, and only what concerns such an object.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from socket import if_nametoindex

from sampan.api.objects import Obj, key_of, labels_of, name_of, namespace_of
from sampan.api.resources import ENDPOINT_SLICES, NODES, SERVICE_CIDRS, SERVICES
from sampan.client.informers import Informers
from sampan.kubelet.network import hostnetworks, localtraffic, netlink, rtnetlink
from sampan.kubelet.network.localtraffic import Ways, keeps_to_nodes, node_addresses
from sampan.kubelet.network.netlink import Address, Network, Route, host_route
from sampan.kubelet.network.plan import NodePlan, is_within, overlap
from sampan.kubelet.network.routes import PROTOCOL

log = logging.getLogger(__name__)

_SERVICE = "service"
_SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Objects:
    """What routes are made of. `slices`: of each Service that keeps to nodes, by its key."""

    services: Sequence[Obj]
    cidrs: Sequence[Obj]
    nodes: Sequence[Obj]
    slices: Mapping[str, Sequence[Obj]]


def wanted(objects: Objects, plan: NodePlan) -> Ways:
    """All of them, whatever the host has. Pure."""
    first = {row.version: (row.node.ip,) for row in plan.families}
    found: dict[Network, tuple[Address, ...]] = {}
    for obj in objects.cidrs:
        for text in (obj.get("spec") or {}).get("cidrs") or ():
            network = ip_network(text)
            if network.version in first and not any(is_within(network, own) for own in _routed(plan)):
                found[network] = first[network.version]
    nodes = {name_of(node): node_addresses(node) for node in objects.nodes}
    pools = [network for row in plan.families for network in row.load_balancers]
    for service in objects.services:
        outside = {host_route(address) for address in localtraffic.external(service)}
        found |= {network: first[network.version] for network in outside if network.version in first}
        if len(nodes) > 1 and keeps_to_nodes(service):
            near = localtraffic.ways(service, objects.slices.get(key_of(service), ()), nodes)
            found |= {
                network: gateways
                for network, gateways in near.items()
                if network in outside or any(is_within(network, pool) for pool in pools)
            }
    return found


def allowed(asked: Ways, host: Collection[Route], own: int) -> Ways:
    """Those that take nothing of the host's. `own` is the index of our link there. Pure."""
    others = [route for route in host if route.index != own]
    gateways = {route.gateway for route in others}
    kept = {route.network for route in others}
    networks = [route.network for route in others if route.network and route.network.prefixlen]
    return {
        network: by
        for network, by in asked.items()
        if (
            network not in kept and network.network_address not in gateways
            if network.prefixlen == network.max_prefixlen
            else not any(overlap(network, other) for other in networks)
        )
    }


class HostRoutes:
    """Runs once for a cluster, where the host is; idle while nothing of this kind changes."""

    def __init__(self, plan: NodePlan, informers: Informers) -> None:
        self._plan = plan
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._nodes = informers.informer(NODES)
        self._cidrs = informers.informer(SERVICE_CIDRS)
        self._concerned: set[str] = set()
        """Keys of the Services that have external addresses of their own, or keep to nodes."""
        self._changed = asyncio.Event()
        self._held: dict[Network, tuple[Address, ...]] = {}
        self._refused: frozenset[Network] = frozenset()

    async def run(self) -> None:
        self._slices.add_index(_SERVICE, services_of)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._nodes.subscribe(self._node_changed)
        self._cidrs.subscribe(self._cidr_changed)
        for informer in (self._services, self._slices, self._nodes, self._cidrs):
            await informer.wait_synced()
        await asyncio.to_thread(functools.partial(self._forget_stale, self._wanted()))
        while True:
            self._changed.clear()
            asked = self._wanted()
            if asked or self._held:
                try:
                    await asyncio.to_thread(functools.partial(self._bring_to, asked))
                except OSError as error:  # the link is gone; whoever mends it has all routes made anew
                    log.warning("the host's routes wait for its link into the cluster: %s", error)
            await self._changed.wait()

    def renew(self) -> None:
        """They may all be gone."""
        self._held.clear()
        self._changed.set()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        key = key_of(new or old or {})
        was, now = key in self._concerned, new is not None and _is_reached_apart(new)
        (self._concerned.add if now else self._concerned.discard)(key)
        if was or now:
            self._changed.set()

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        if any(key in self._concerned for each in (old, new) if each for key in services_of(each)):
            self._changed.set()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if self._concerned and (old is None or new is None or node_addresses(old) != node_addresses(new)):
            self._changed.set()

    def _cidr_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or old.get("spec") != new.get("spec"):
            self._changed.set()

    def _wanted(self) -> Ways:
        services = [found for key in sorted(self._concerned) if (found := self._services.get(key))]
        local = [key_of(service) for service in services if keeps_to_nodes(service)]
        slices = {key: self._slices.by_index(_SERVICE, key) for key in local}
        nodes = self._nodes.list() if local else []
        return wanted(Objects(services, self._cidrs.list(), nodes, slices), self._plan)

    def _forget_stale(self, asked: Ways) -> None:
        """What an earlier process left; what is wanted comes in the same moment."""
        with rtnetlink.open_socket() as sock:
            index = if_nametoindex(self._plan.host_link)
            for route in hostnetworks.main_table(sock):
                if route.protocol == PROTOCOL and route.index == index and route.network not in asked:
                    assert route.network is not None  # the default route is never ours
                    rtnetlink.carry_out(sock, [netlink.delete_route(route.network)], {errno.ESRCH})

    def _bring_to(self, asked: Ways) -> None:
        with rtnetlink.open_socket() as sock:
            index = if_nametoindex(self._plan.host_link)
            host = netlink.routes(rtnetlink.dump(sock, netlink.get_routes()))
            good = allowed(asked, host, index)
            self._tell(frozenset(asked.keys() - good.keys()))
            for network, gateways in good.items():
                if self._held.get(network) == gateways:
                    continue
                try:
                    request = netlink.add_spread_route(network, index, gateways, PROTOCOL)
                    rtnetlink.carry_out(sock, [request])
                    self._held[network] = gateways
                except rtnetlink.NetlinkFault as fault:
                    log.warning("no way for the host to %s by %s: %s", network, gateways, fault)
            for network in self._held.keys() - good.keys():
                del self._held[network]
                rtnetlink.carry_out(sock, [netlink.delete_route(network)], {errno.ESRCH})

    def _tell(self, refused: frozenset[Network]) -> None:
        for network in sorted(map(str, refused - self._refused)):
            log.warning("%s is reached from Pods, not from the host: it meets what the host has", network)
        self._refused = refused


def services_of(each: Obj) -> tuple[str, ...]:
    """The key of the Service that a slice belongs to."""
    name = labels_of(each).get(_SERVICE_NAME)
    return (f"{namespace_of(each)}/{name}",) if name else ()


def _is_reached_apart(service: Obj) -> bool:
    return bool(localtraffic.external(service)) or (
        keeps_to_nodes(service) and bool(localtraffic.balanced(service))
    )


def _routed(plan: NodePlan) -> Iterable[Network]:
    return (row.service_cidr for row in plan.families)
