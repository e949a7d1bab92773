"""Whatever changes, in whatever order: an answer that was kept is the answer that would be given now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.dnstalk import question
from sampan.dns import wire
from sampan.dns.config import default_corefile, read
from sampan.dns.metrics import Metrics
from sampan.dns.reply import answer_records, parse_reply
from sampan.dns.responder import Asker, Responder
from sampan.dns.zone import Zone, ZonePlan

NAMESPACES, SERVICES, IPS = ("shop", "bank"), ("web", "db"), ("10.96.0.1", "10.96.0.2", "fd00::1")
Change = Callable[[Zone, dict[str, Any]], None]


def service(namespace: str, name: str, kind: str, ip: str, port: str, target: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip]}
    if kind == "headless":
        spec |= {"clusterIP": "None", "clusterIPs": ["None"]}
    if kind == "alias":
        spec = {"type": "ExternalName", "externalName": f"{target}.svc.cluster.local"}
    ports = [{"name": port, "port": 80, "protocol": "TCP"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {**spec, "ports": ports}}


def endpoints(namespace: str, name: str, of: str, ips: list[str], hostname: str) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": of}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ip], "hostname": hostname} for ip in ips],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }


def set_service(key: str, obj: dict[str, Any] | None) -> Change:
    return lambda zone, slices: zone.set_service(key, obj)


def set_slice(key: str, obj: dict[str, Any] | None) -> Change:
    def change(zone: Zone, slices: dict[str, Any]) -> None:
        if obj is not None or key in slices:
            zone.set_slice(key, slices.pop(key, None), obj)
        if obj is not None:
            slices[key] = obj

    return change


def set_namespace(name: str, present: bool) -> Change:
    return lambda zone, slices: zone.set_namespace(name, present=present)


names = st.sampled_from(SERVICES)
spaces = st.sampled_from((*NAMESPACES[:1] * 3, NAMESPACES[1]))
targets = st.builds("{}.{}".format, names, spaces)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    namespace, name, of = draw(spaces), draw(names), draw(names)
    there = draw(st.booleans())
    match draw(st.sampled_from(("service", "service", "slice", "slice", "namespace"))):
        case "service":
            kind = draw(st.sampled_from(("virtual", "headless", "alias")))
            port, ip = draw(st.sampled_from(("http", "sql"))), draw(st.sampled_from(IPS))
            made = service(namespace, name, kind, ip, port, draw(targets))
            return set_service(f"{namespace}/{name}", made if there else None)
        case "slice":
            ips = draw(st.lists(st.sampled_from(("10.244.0.1", "10.244.0.2")), max_size=2, unique=True))
            made = endpoints(namespace, name, of, ips, draw(st.sampled_from(("", "a", "b"))))
            return set_slice(f"{namespace}/{name}", made if there else None)
        case _:
            return set_namespace(namespace, there)


def everything() -> list[tuple[str, int]]:
    found = []
    for namespace in NAMESPACES:
        ends = [f"{namespace}.svc.cluster.local", f"{namespace}.pod.cluster.local"]
        found += [(end, wire.A) for end in (*ends, f"1-2-3-4.{ends[1]}")]
        for name in (f"{name}.{ends[0]}" for name in SERVICES):
            found += [(name, wire.A), (name, wire.AAAA), (f"a.{name}", wire.A), (f"_tcp.{name}", wire.A)]
            found += [(f"10-244-0-1.{name}", wire.A), (name, wire.CNAME)]
            found += [(f"_{port}._tcp.{name}", wire.SRV) for port in ("http", "sql")]
    found += [(wire.reverse_name(ip), wire.PTR) for ip in (*IPS, "10.244.0.1")]
    return [*found, ("cluster.local", wire.SOA), ("cluster.local", wire.NS)]


EVERYTHING = everything()


def said(it: Responder, name: str, kind: int) -> tuple[int, list[object]]:
    """As the server would: what is kept, or what is found out and then kept."""
    packet = question(name, kind)
    entry = it.answers.kept.get(packet[2:])
    reply = it.respond(packet, Asker(None)) if entry is None else packet[:2] + entry.wire
    assert isinstance(reply, bytes)
    return reply[3] & 15, sorted(answer_records(parse_reply(reply)), key=repr)


@settings(max_examples=80, deadline=None)
@given(st.lists(changes(), max_size=8))
def test_no_answer_is_older_than_the_last_change(steps: list[Change]) -> None:
    zone = Zone(ZonePlan(servers=["10.96.0.10"], ranges=["10.96.0.0/16", "10.244.0.0/16", "fd00::/64"]))
    it = Responder(read(default_corefile("cluster.local"), "cluster.local"), zone, Metrics())
    slices: dict[str, Any] = {}
    for step in steps:
        for name, kind in EVERYTHING:
            said(it, name, kind)
        step(zone, slices)
        for name, kind in EVERYTHING:
            now = zone.lookup(name, kind)
            assert said(it, name, kind) == (now.rcode, sorted(now.answers, key=repr)), (name, kind)
