"""Services: cluster addresses and node ports, given out without races.

`reserve` completes the object after validation with what only the server can choose. Source:
concepts/services-networking/service, concepts/services-networking/cluster-ip-allocation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from sampan.api import errors
from sampan.api.errors import FieldError
from sampan.api.objects import Obj
from sampan.api.resources import SERVICES
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.addresses import Exhausted, OutOfRange, Taken, address_pool, port_pool
from sampan.apiserver.registry.hooks import Call, Hooks, Undo
from sampan.apiserver.watchcache import Change, Hub

HEADLESS = "None"
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class ServiceHooks(Hooks):
    """Owns the pools; follows the Services' cache to learn which holdings have ended."""

    returns_deleted = True
    creates_on_update = True

    def __init__(self, hub: Hub, cidrs: Sequence[str], node_ports: tuple[int, int]) -> None:
        self._network = ipaddress.ip_network(cidrs[0])
        self._addresses = address_pool(cidrs[0])
        self._ports = port_pool(*node_ports)
        cache = hub.cache(storage_prefix(SERVICES))
        for entry in cache.entries.values():
            self._hold(entry.key, entry.obj)
        cache.listeners.append(self._changed)

    def prepare_create(self, call: Call, obj: Obj) -> None:
        obj["status"] = {"loadBalancer": {}}
        _pair_cluster_ips(obj["spec"], {})

    def prepare_update(self, call: Call, new: Obj, old: Obj) -> None:
        """What an update leaves open stays as it was: clients send what they know."""
        spec, kept = new["spec"], old["spec"]
        _drop_of_former_type(spec, kept)
        if spec.get("type") == "ExternalName":
            _drop_node_ports(spec, kept)
            if kept.get("type") != "ExternalName":
                for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                    if spec.get(field) == kept.get(field):
                        spec.pop(field, None)
            if all(spec.get(field) == kept.get(field) for field in ("clusterIP", "clusterIPs")):
                spec.pop("clusterIP", None)
                spec.pop("clusterIPs", None)
            return
        if kept.get("type") != "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if not spec.get(field) and kept.get(field):
                    spec[field] = kept[field]
        _pair_cluster_ips(spec, kept)
        if spec.get("type") in _WITH_NODE_PORTS:
            _keep_node_ports(spec, kept)
        else:
            _drop_node_ports(spec, kept)

    def reserve(self, call: Call, new: Obj, old: Obj | None) -> Undo:
        if new["spec"].get("type") == "ExternalName":
            return _undo_nothing
        owner = _owner(new)
        addresses: list[int] = []
        ports: list[int] = []

        def undo() -> None:
            self._addresses.give_back(addresses, owner)
            self._ports.give_back(ports, owner)

        broken = self._take_address(new["spec"], owner, addresses)
        if broken is None:
            broken = self._take_ports(new["spec"], owner, ports)
        if broken is not None:
            undo()
            raise errors.invalid(SERVICES, new["metadata"]["name"], [broken])
        return undo

    def _take_address(self, spec: Obj, owner: str, taken: list[int]) -> FieldError | None:
        asked = spec.get("clusterIP")
        if asked != HEADLESS:
            field = "spec.clusterIPs"
            try:
                if asked:
                    number = int(ipaddress.ip_address(asked))
                    if self._addresses.take(number, owner):
                        taken.append(number)
                else:
                    number = self._addresses.take_any(owner)
                    taken.append(number)
                    spec["clusterIP"] = str(self._network.network_address.__class__(number))
            except Taken:
                why = "failed to allocate IP {}: provided IP is already allocated"
                return errors.invalid_value(field, [asked], why.format(asked))
            except (OutOfRange, ValueError):
                why = (
                    f"failed to allocate IP {asked}: the provided IP ({asked}) is not in the valid range. "
                    f"The range of valid IPs is {self._network}"
                )
                return errors.invalid_value(field, [asked], why)
            except Exhausted:
                return FieldError(
                    field, "InternalError", "Internal error: failed to allocate a serviceIP: range is full"
                )
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv6" if self._network.version == 6 else "IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        return None

    def _take_ports(self, spec: Obj, owner: str, taken: list[int]) -> FieldError | None:
        """One number may serve several protocols of the same Service."""
        wants = _allocates_node_ports(spec)
        for index, port in enumerate(spec.get("ports") or ()):
            field = f"spec.ports[{index}].nodePort"
            asked = port.get("nodePort")
            try:
                if asked:
                    if self._ports.take(asked, owner):
                        taken.append(asked)
                elif wants:
                    port["nodePort"] = self._shared_port(spec, port) or self._ports.take_any(owner)
                    taken.append(port["nodePort"])
            except Taken:
                return errors.invalid_value(field, asked, "provided port is already allocated")
            except OutOfRange:
                why = (
                    "provided port is not in the valid range. The range of valid ports is "
                    f"{self._ports.first}-{self._ports.last}"
                )
                return errors.invalid_value(field, asked, why)
            except Exhausted:
                return FieldError(
                    field, "InternalError", "Internal error: failed to allocate a nodePort: range is full"
                )
        return None

    def _shared_port(self, spec: Obj, port: Obj) -> int | None:
        """TCP and UDP of the same port number share their node port."""
        for other in spec["ports"]:
            same = other["port"] == port["port"] and other.get("protocol") != port.get("protocol")
            if other is not port and same and other.get("nodePort"):
                return int(other["nodePort"])
        return None

    def _changed(self, change: Change) -> None:
        """Ends the holdings a Service no longer has; takes those that it has, should others write them."""
        now = None if change.type == "DELETED" else change.entry.obj
        if change.previous is not None:
            owner = _owner(change.previous.obj)
            kept = _holdings(now) if now is not None else (set(), set())
            had = _holdings(change.previous.obj)
            self._addresses.give_back(had[0] - kept[0], owner)
            self._ports.give_back(had[1] - kept[1], owner)
        if now is not None:
            self._hold(change.entry.key, now)

    def _hold(self, key: str, service: Obj) -> None:
        owner = _owner(service)
        addresses, ports = _holdings(service)
        for pool, numbers in ((self._addresses, addresses), (self._ports, ports)):
            for number in numbers:
                if pool.first <= number <= pool.last and pool.holder(number) is None:
                    pool.take(number, owner)


def _undo_nothing() -> None:
    return None


def _owner(service: Obj) -> str:
    """The uid: a new Service of the same name is another owner."""
    return str(service["metadata"]["uid"])


def _holdings(service: Obj) -> tuple[set[int], set[int]]:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return set(), set()
    addresses = {int(ipaddress.ip_address(ip)) for ip in _cluster_ips(spec)}
    ports = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    return addresses, ports


def _cluster_ips(spec: Obj) -> Iterator[str]:
    for ip in spec.get("clusterIPs") or [spec.get("clusterIP")]:
        if ip and ip != HEADLESS:
            yield ip


def _pair_cluster_ips(spec: Obj, kept: Obj) -> None:
    """clusterIP and the first of clusterIPs say the same; the one that was changed wins."""
    single, several = spec.get("clusterIP"), spec.get("clusterIPs")
    if single and not several:
        spec["clusterIPs"] = [single]
    elif several and not single:
        spec["clusterIP"] = several[0]
    elif single and several and single != several[0]:
        if single != kept.get("clusterIP") and several == kept.get("clusterIPs"):
            spec["clusterIPs"] = [single]
        elif several != kept.get("clusterIPs") and single == kept.get("clusterIP"):
            spec["clusterIP"] = several[0]


def _allocates_node_ports(spec: Obj) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def _keep_node_ports(spec: Obj, kept: Obj) -> None:
    """A port that names no node port keeps the one it had."""
    had = {(p["port"], p.get("protocol")): p.get("nodePort") for p in kept.get("ports") or ()}
    asked = {port.get("nodePort") for port in spec.get("ports") or ()}
    for port in spec.get("ports") or ():
        former = had.get((port["port"], port.get("protocol")))
        if not port.get("nodePort") and former and former not in asked:
            port["nodePort"] = former


_EXTERNAL = ("externalTrafficPolicy", "healthCheckNodePort")
_BALANCED = ("allocateLoadBalancerNodePorts", "loadBalancerClass")


def _drop_of_former_type(spec: Obj, kept: Obj) -> None:
    """What only made sense for the former type goes with it, unless the client has just set it."""
    gone: list[str] = []
    if kept.get("type") in _WITH_NODE_PORTS and spec.get("type") not in _WITH_NODE_PORTS:
        gone += _EXTERNAL
    if kept.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        gone += _BALANCED
    if kept.get("externalTrafficPolicy") == "Local" and spec.get("externalTrafficPolicy") != "Local":
        gone.append("healthCheckNodePort")
    for field in gone:
        if field in spec and spec[field] == kept.get(field):
            del spec[field]


def _drop_node_ports(spec: Obj, kept: Obj) -> None:
    """Node ports that are left over from another type go away."""
    if kept.get("type") in _WITH_NODE_PORTS:
        had = {port.get("nodePort") for port in kept.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in had:
                port.pop("nodePort", None)
