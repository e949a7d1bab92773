"""Random Services and EndpointSlices for property tests: all that the API server would let in, no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from hypothesis import strategies as st

from harness.packetmodel import From, Here, Sender, Target, is_virtual
from sampan.api.objects import Obj

NAMES = ("a", "b", "c")
PORTS = (("", 80), ("", 53), ("http", 80), ("dns", 53))


@dataclass(frozen=True)
class Cast:
    """The addresses that play, by family: where packets come from and go to. `pods` are this node's.

    `elsewhere`: endpoints that are not; the first is on another node, the last is no node's. `balancers` and
    `external` are the Services' to have, `outside` is who is no Pod of this node.
    """

    here: Here
    pods: Mapping[int, tuple[str, ...]]
    elsewhere: Mapping[int, tuple[str, ...]]
    external: Mapping[int, tuple[str, ...]]
    balancers: Mapping[int, tuple[str, ...]]
    outside: Mapping[int, tuple[Sender, ...]]
    cluster_ips: Mapping[int, str]
    """The range they are taken from."""
    ranges: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("TCP", "TCP", "UDP", "SCTP")

    @property
    def families(self) -> tuple[int, ...]:
        return tuple(self.pods)


ALL = Cast(
    Here(
        "node-1",
        ("100.64.0.2", "fd64::2"),
        ("10.96.0.0/16", "fd96::/108", "100.65.0.0/24", "fd65::/112"),
        zone="here",
    ),
    pods={4: ("10.244.0.5", "10.244.0.6"), 6: ("fd44::5", "fd44::6")},
    elsewhere={4: ("10.244.1.5", "192.0.2.9"), 6: ("fd44:0:0:1::5", "2001:db8::9")},
    external={4: ("203.0.113.7", "203.0.113.8"), 6: ("2001:db8:7::1",)},
    balancers={4: ("100.65.0.1", "100.65.0.2"), 6: ("fd65::1",)},
    outside={
        4: (
            Sender(From.OUTSIDE, "100.64.0.1"),
            Sender(From.OUTSIDE, "198.51.100.77"),
            Sender(From.PEER, "10.244.1.5"),
        ),
        6: (
            Sender(From.OUTSIDE, "fd64::1"),
            Sender(From.OUTSIDE, "2001:db8:99::77"),
            Sender(From.PEER, "fd44:0:0:1::5"),
        ),
    },
    cluster_ips={4: "10.96.0.0/16", 6: "fd96::/108"},
    ranges=("198.51.100.0/24", "100.64.0.0/16", "2001:db8:99::/48", "10.244.0.0/24"),
)
ENDPOINT_PORTS = (8080, 9376)


@st.composite
def services(draw: st.DrawFn, name: str, cast: Cast = ALL) -> Obj:
    """A Service with its addresses given, as the API server has it."""
    number = NAMES.index(name)
    kind = draw(st.sampled_from(("ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "ExternalName")))
    spec: Obj = {"type": kind}
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": spec,
    }
    if kind == "ExternalName":
        return service | {"spec": {"type": kind, "externalName": "example.com"}}
    several = (cast.families, cast.families[::-1]) if len(cast.families) > 1 else ()
    families = draw(st.sampled_from((*((family,) for family in cast.families), *several)))
    generation = draw(st.integers(0, 1))
    """A Service that was deleted and made anew has another address."""
    which = 20 + number + 10 * generation
    addresses = [str(ip_network(cast.cluster_ips[family])[which]) for family in families]
    if kind == "ClusterIP" and draw(st.integers(0, 9)) == 0:
        addresses = ["None"]
    spec |= {
        "clusterIP": addresses[0],
        "clusterIPs": addresses,
        "ipFamilies": [f"IPv{family}" for family in families],
    }
    wanted = draw(st.lists(st.sampled_from(PORTS), min_size=1, max_size=2, unique_by=lambda p: p[1]))
    if len(wanted) > 1:
        wanted = [({80: "http", 53: "dns"}[port], port) for _, port in wanted]
    protocol = draw(st.sampled_from(cast.protocols))
    spec["ports"] = [{"name": n, "port": port, "protocol": protocol} for n, port in wanted]
    if draw(st.booleans()):
        twin = draw(st.sampled_from(cast.protocols))
        if twin != protocol:
            spec["ports"].append({"name": "twin", "port": wanted[0][1], "protocol": twin})
            spec["ports"][0]["name"] = spec["ports"][0]["name"] or "first"
    spec["internalTrafficPolicy"] = draw(st.sampled_from(("Cluster", "Local")))
    if draw(st.booleans()):
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": draw(st.sampled_from((5, 10800)))}}
    external = draw(_some([ip for family in families for ip in cast.external[family]]))
    if external and draw(st.booleans()):
        spec["externalIPs"] = [draw(_spellings(ip)) for ip in external]
    if kind != "ClusterIP" or spec.get("externalIPs"):
        spec["externalTrafficPolicy"] = draw(st.sampled_from(("Cluster", "Local")))
    if kind in ("NodePort", "LoadBalancer"):
        for n, port in enumerate(spec["ports"]):
            port["nodePort"] = 30000 + 10 * number + n
    if kind == "LoadBalancer":
        if draw(st.integers(0, 3)) == 0:
            for port in spec["ports"]:
                del port["nodePort"]
        modes = st.sampled_from(({}, {"ipMode": "VIP"}, {"ipMode": "Proxy"}))
        given = draw(_some([ip for family in families for ip in cast.balancers[family]]))
        service["status"] = {"loadBalancer": {"ingress": [{"ip": ip, **draw(modes)} for ip in given]}}
        spec["loadBalancerSourceRanges"] = draw(_some(cast.ranges))
    if draw(st.integers(0, 14)) == 0:
        service["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "another"}
    return service


@st.composite
def slices(draw: st.DrawFn, name: str, suffix: str, cast: Cast = ALL) -> Obj:
    """A slice of the Service, by whoever wrote it: ports of other names and protocols among them."""
    family = draw(st.sampled_from((cast.families[0], *cast.families)))
    ports = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(("", "", "http", "dns", "first", "twin")),
                    "port": st.sampled_from(ENDPOINT_PORTS),
                    "protocol": st.sampled_from(cast.protocols),
                }
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda port: str(port["name"]),
        )
    )
    node = next(ip for ip in cast.here.ips if ip_address(ip).version == family)
    everybody = (*cast.pods[family], *cast.elsewhere[family], node)
    chosen = draw(_some(everybody))
    labels = {"kubernetes.io/service-name": name}
    if draw(st.integers(0, 14)) == 0:
        labels["service.kubernetes.io/headless"] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-{suffix}", "namespace": "default", "labels": labels},
        "addressType": f"IPv{family}",
        "ports": ports,
        "endpoints": [draw(_endpoints(address, cast)) for address in chosen],
    }


@st.composite
def _endpoints(draw: st.DrawFn, address: str, cast: Cast) -> Obj:
    """Where an address is and what its hints say is the same in every slice; its conditions need not be."""
    family = ip_address(address).version
    found: Obj = {"addresses": [draw(_spellings(address))], "conditions": draw(st.sampled_from(CONDITIONS))}
    if address in (*cast.pods[family], *cast.here.ips):
        found["nodeName"] = cast.here.name
    elif address == cast.elsewhere[family][0]:
        found["nodeName"] = "node-2"
    if address != cast.elsewhere[family][-1]:
        zones = [{"name": "here" if int(ip_address(address)) % 2 else "there"}]
        nodes = [{"name": found["nodeName"]}]
        found["hints"] = draw(st.sampled_from(({"forZones": zones}, {"forZones": zones, "forNodes": nodes})))
    return found


READY = {"ready": True, "serving": True, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
CONDITIONS: tuple[Obj, ...] = (
    READY,
    READY,
    ENDING,
    ENDING,
    {"ready": False, "serving": False, "terminating": False},
    {"ready": False, "serving": False, "terminating": True},
    {"ready": True, "serving": True, "terminating": True},
    {"ready": False, "terminating": True},
    {"ready": False, "serving": True},
    {},
)


def _spellings(address: str) -> st.SearchStrategy[str]:
    """IPv6 has many; all are let in."""
    found = ip_address(address)
    return st.sampled_from((address, address, found.exploded, address.upper()))


def _some(values: tuple[str, ...] | list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), unique=True, max_size=4)


def targets(listed: list[Obj], cast: Cast = ALL) -> list[Target]:
    """Every destination that any of the Services may mean, and some that none does."""
    every = [port for service in listed for port in service["spec"].get("ports") or ()]
    ports = {(port["protocol"].lower(), port["port"]) for port in every}
    node_ports = {(port["protocol"].lower(), port["nodePort"]) for port in every if port.get("nodePort")}
    addresses = {ip for service in listed if is_virtual(service) for ip in service["spec"]["clusterIPs"]}
    for family in cast.families:
        addresses |= {*cast.external[family], *cast.balancers[family]}
    found = {Target(address, *port) for address in addresses for port in ports | {("tcp", 81)}}
    return sorted(
        found | {Target(ip, *port) for ip in cast.here.ips for port in node_ports | {("tcp", 31999)}}
    )


def senders(version: int, cast: Cast = ALL) -> list[Sender]:
    node = next(ip for ip in cast.here.ips if ip_address(ip).version == version)
    pods = [Sender(From.POD, ip) for ip in cast.pods[version]]
    return [*pods, Sender(From.NODE, node), *cast.outside[version]]


class Change(NamedTuple):
    """To one object: it is as given from now on, or gone. Or to the proxy: it dies, and another comes."""

    kind: str
    name: str
    obj: Obj | None = None


RESTART = Change("restart", "")


def changes(cast: Cast = ALL) -> st.SearchStrategy[list[list[Change]]]:
    """A world's first state and what then happens to it: what comes together is seen together."""
    suffixes = ("x", "y")
    made = [services(name, cast).map(_as_service) for name in NAMES]
    pieces = [slices(name, suffix, cast).map(_as_slice) for name in NAMES for suffix in suffixes]
    gone = [st.just(Change("Service", name)) for name in NAMES]
    torn = [st.just(Change("EndpointSlice", f"{n}-{suffix}")) for n in NAMES for suffix in suffixes]
    first = st.tuples(*made[:2], *pieces[:3]).map(list)
    one = st.one_of(*made, *pieces, *pieces, *gone, *torn, st.just(RESTART))
    batches = st.lists(st.lists(one, min_size=1, max_size=3), max_size=4)
    return st.tuples(first, batches).map(lambda both: [both[0], *both[1]])


def _as_service(obj: Obj) -> Change:
    return Change("Service", obj["metadata"]["name"], obj)


def _as_slice(obj: Obj) -> Change:
    return Change("EndpointSlice", obj["metadata"]["name"], obj)
