"""Pods in, elements of their host ports out."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj
from sampan.proxy.frontends import Front
from sampan.proxy.hostports import fragment, has_host_ports, host_ports
from sampan.proxy.keys import Keys
from sampan.proxy.rules import EMPTY, Flows, NodeFacts
from sampan.proxy.table import KEEP, LOCAL, Element

FACTS = NodeFacts("node-1", ("10.244.0.0/24",), ips=("100.64.0.2",))
BOTH = NodeFacts("node-1", (), families=(4, 6), ips=("100.64.0.2", "fd00:64::2"))
ANYWHERE = ["100.64.0.2 tcp 8080 -> 10.244.0.5 80", "127.0.0.1 tcp 8080 -> 10.244.0.5 80"]
NODE = {"hostPort": 8080, "containerPort": 80, "hostIP": "100.64.0.2"}


def pod(*ports: Obj, ips: tuple[str, ...] = ("10.244.0.5",), uid: str = "a", **more: Obj) -> Obj:
    return {
        "metadata": {"name": uid, "namespace": "default", "uid": uid, **more.get("metadata", {})},
        "spec": {"containers": [{"name": "main", "ports": [*ports]}], **more.get("spec", {})},
        "status": {"podIPs": [{"ip": ip} for ip in ips], **more.get("status", {})},
    }


def table(*pods: Obj, facts: NodeFacts = FACTS) -> list[str]:
    """`frontend -> endpoint` of every host port, read out of the elements."""
    found = fragment(pods, facts, Keys().key)
    lines = []
    for (name, key), (mark, *_) in found.elements.items():
        if name.startswith("hp"):
            assert int(mark) & KEEP, "the client's address is kept"
            kind = int(mark) & ~KEEP
            assert found.elements[Element("svc", (kind,))] == (1,)
            end = found.elements[Element(f"ep{name[-1]}", (kind, 0))]
            assert Element(f"hair{name[-1]}", (end[0], end[0])) in found.shared
            assert kind & LOCAL
            lines.append(f"{' '.join(map(str, key))} -> {end[0]} {end[1]}")
    return lines


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({}, ANYWHERE),
        ({"hostIP": "0.0.0.0"}, ANYWHERE),
        ({"hostIP": "100.64.0.2"}, ["100.64.0.2 tcp 8080 -> 10.244.0.5 80"]),
        ({"hostIP": "127.0.0.1", "protocol": "UDP"}, ["127.0.0.1 udp 8080 -> 10.244.0.5 80"]),
        ({"hostIP": "127.0.0.9", "protocol": "SCTP"}, ["127.0.0.9 sctp 8080 -> 10.244.0.5 80"]),
        ({"hostIP": "10.96.0.10"}, []),
        ({"hostIP": "::1"}, []),
        ({"hostPort": 0}, []),
    ],
)
def test_addresses_of_a_host_port(port: Obj, expected: list[str]) -> None:
    assert table(pod({"hostPort": 8080, "containerPort": 80, **port})) == expected


def test_each_family_leads_to_the_pods_address_of_that_family() -> None:
    port = {"hostPort": 8080, "containerPort": 80}
    assert table(pod(port, ips=("10.244.0.5", "fd00:244::5")), facts=BOTH) == [
        "100.64.0.2 tcp 8080 -> 10.244.0.5 80",
        "127.0.0.1 tcp 8080 -> 10.244.0.5 80",
        "fd00:64::2 tcp 8080 -> fd00:244::5 80",
    ]
    assert table(pod(port, ips=("10.244.0.5", "fd00:244::5")))[2:] == []


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"status": {"phase": "Failed"}},
        {"status": {"podIPs": []}},
        {"spec": {"hostNetwork": True}},
    ],
)
def test_pods_that_have_none_now(more: Obj) -> None:
    assert fragment([pod(NODE, **more)], FACTS, Keys().key) is EMPTY


def test_sidecars_have_host_ports_and_other_init_containers_have_not() -> None:
    once = {"name": "once", "ports": [NODE]}
    assert not has_host_ports(pod(spec={"initContainers": [once]}))
    sidecar = pod(spec={"initContainers": [{**once, "restartPolicy": "Always"}]})
    assert has_host_ports(sidecar)
    assert len(host_ports(sidecar, FACTS)) == 1


def test_the_older_of_two_pods_has_the_port() -> None:
    old = pod(NODE, uid="z", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"})
    young = pod(NODE, ips=("10.244.0.6",), metadata={"creationTimestamp": "2026-01-01T00:00:01Z"})
    for pods in ((old, young), (young, old)):
        assert table(*pods) == ["100.64.0.2 tcp 8080 -> 10.244.0.5 80"]
    assert table(young) == ["100.64.0.2 tcp 8080 -> 10.244.0.6 80"]


def test_what_conntrack_may_remember() -> None:
    found = fragment([pod({**NODE, "protocol": "UDP"}, {**NODE, "hostPort": 81})], FACTS, Keys().key)
    assert found.flows == {Flows(1, "10.244.0.5", 80)}
    assert found.udp_fronts == {Front(4, "100.64.0.2", 8080)}
    assert set(found.ready) == {"10.244.0.5"}
