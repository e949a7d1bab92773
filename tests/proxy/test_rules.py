"""Services and EndpointSlices in, table elements out: one row per rule of the documentation."""

from __future__ import annotations

import pytest

from harness.lab import endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.proxy.frontends import Front
from sampan.proxy.keys import Frontend, Keys
from sampan.proxy.rules import EMPTY, Flows, Fragment, NodeFacts, fragment, seating, stale
from sampan.proxy.table import EXTERNAL, KEEP, LOCAL, seats_of

FACTS = NodeFacts("node-1", ("10.244.0.0/24",), frozenset({"10.96.0.10"}))
TCP = [{"name": "", "port": 8080, "protocol": "TCP"}]
VIP = "10.96.0.20"


def rules(svc: Obj, *slices: Obj, before: Fragment = EMPTY) -> Fragment:
    return fragment(svc, slices, FACTS, Keys().key, seating(before.elements))


def lines(found: Fragment) -> list[str]:
    """`set key... : value...`, sorted, as one would write them down."""
    both = found.elements | found.shared
    return sorted(
        f"{name} {' '.join(map(str, key))}" + (f" : {' '.join(map(str, value))}" if value else "")
        for (name, key), value in both.items()
    )


def test_cluster_ip() -> None:
    found = rules(
        service("web", VIP, {"port": 80}), slice_of("web", TCP, endpoint("10.244.0.5"), endpoint("10.9.9.9"))
    )
    assert lines(found) == [
        "class 2 : n2",
        "ep4 1 0 : 10.244.0.5 8080",
        "ep4 1 1 : 10.9.9.9 8080",
        "fe4 10.96.0.20 tcp 80 : 1",
        "hair4 10.244.0.5 10.244.0.5",
        "svc 1 : 2",
    ]
    assert set(found.ready) == {"10.244.0.5", "10.9.9.9"}


def test_without_endpoints_only_the_frontend_stays_so_that_it_is_refused() -> None:
    assert lines(rules(service("web", VIP, {"port": 80}))) == ["fe4 10.96.0.20 tcp 80 : 1"]


def test_several_ports_each_with_its_own_endpoints() -> None:
    dns = {"name": "dns", "port": 53, "protocol": "UDP"}
    svc = service("web", VIP, {"name": "http", "port": 80}, {"name": "https", "port": 443}, dns)
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}, dns]
    other = [{"name": "https", "port": 8443, "protocol": "TCP"}]
    found = rules(
        svc,
        slice_of("web", ports, endpoint("10.244.0.5")),
        slice_of("web", other, endpoint("10.244.0.6"), suffix="b"),
    )
    assert [line for line in lines(found) if line.startswith(("ep", "fe"))] == [
        "ep4 1 0 : 10.244.0.5 8080",
        "ep4 2 0 : 10.244.0.6 8443",
        "ep4 3 0 : 10.244.0.5 53",
        "fe4 10.96.0.20 tcp 443 : 2",
        "fe4 10.96.0.20 tcp 80 : 1",
        "fe4 10.96.0.20 udp 53 : 3",
    ]
    assert found.flows == {Flows(3, "10.244.0.5", 53)}


def test_named_target_port_that_differs_from_pod_to_pod() -> None:
    svc = service("web", VIP, {"name": "http", "port": 80, "targetPort": "http"})
    found = rules(
        svc,
        slice_of("web", [{"name": "http", "port": 8080}], endpoint("10.244.0.5")),
        slice_of("web", [{"name": "http", "port": 9090}], endpoint("10.244.0.6"), suffix="b"),
    )
    assert seats_of(found.elements) == {1: (("10.244.0.5", 8080), ("10.244.0.6", 9090))}


def test_node_port() -> None:
    found = rules(
        service("web", VIP, {"port": 80, "nodePort": 30080, "protocol": "UDP"}, type="NodePort"),
    )
    assert lines(found) == ["fe4 10.96.0.20 udp 80 : 1", f"np4 udp 30080 : {1 | EXTERNAL}"]
    assert found.udp_fronts == {Front(4, "", 30080)}


@pytest.mark.parametrize(
    "svc",
    [
        service("web", "None", {"port": 80}),
        service("web", "", {"port": 80}),
        service("web", "", type="ExternalName", externalName="example.com"),
        service("dns", "10.96.0.10", {"port": 53}),
        service("six", "fd00::1", {"port": 53}),
    ],
)
def test_not_ours(svc: Obj) -> None:
    assert rules(svc, slice_of("web", TCP, endpoint("10.244.0.5"))).elements == {}


def test_left_to_another_proxy() -> None:
    svc = service("web", VIP, {"port": 80})
    svc["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "other"}
    assert rules(svc) is EMPTY


@pytest.mark.parametrize(
    ("endpoints", "used", "ready"),
    [
        ([{"ready": True}, {"ready": False}], [0], {0}),
        ([{}, {"ready": None}], [0, 1], {0, 1}),
        # None ready any more: those that still serve while they terminate, as a last resort.
        ([{"ready": False, "serving": True, "terminating": True}, {"ready": False}], [0], set()),
        ([{"ready": True}, {"ready": False, "serving": True, "terminating": True}], [0], {0}),
        ([{"ready": False, "serving": False, "terminating": True}], [], set()),
        # Serving, but neither ready nor terminating: nobody asked for it.
        ([{"ready": False, "serving": True}], [], set()),
    ],
)
def test_which_endpoints_get_connections(endpoints: list[Obj], used: list[int], ready: set[int]) -> None:
    listed = [
        {"addresses": [f"10.244.0.{n}"], "conditions": conditions} for n, conditions in enumerate(endpoints)
    ]
    found = rules(service("web", VIP, {"port": 80}), slice_of("web", TCP, *listed))
    assert [host for host, _ in seats_of(found.elements).get(1, ())] == [f"10.244.0.{n}" for n in used]
    assert set(found.ready) == {f"10.244.0.{n}" for n in ready}


def test_overlapping_slices_count_an_endpoint_once_and_believe_the_ready_one() -> None:
    found = rules(
        service("web", VIP, {"port": 80}),
        slice_of("web", TCP, endpoint("10.244.0.5", ready=False, serving=True, terminating=True)),
        slice_of("web", TCP, endpoint("10.244.0.5"), suffix="b"),
    )
    assert seats_of(found.elements) == {1: (("10.244.0.5", 8080),)}
    assert set(found.ready) == {"10.244.0.5"}


def test_headless_slices_and_other_families_are_passed_over() -> None:
    six = slice_of("web", TCP, endpoint("fd00::5"))
    six["addressType"] = "IPv6"
    headless = slice_of("web", TCP, endpoint("10.244.0.5"))
    headless["metadata"]["labels"]["service.kubernetes.io/headless"] = ""
    assert seats_of(rules(service("web", VIP, {"port": 80}), six, headless).elements) == {}


def test_external_traffic_policy_local() -> None:
    svc = service("web", VIP, {"port": 80, "nodePort": 30080}, type="NodePort", externalTrafficPolicy="Local")
    found = rules(svc, slice_of("web", TCP, endpoint("10.244.0.5"), endpoint("10.9.9.9", node="other")))
    assert [line for line in lines(found) if line.startswith(("np", "svc", "ep", "fe"))] == [
        "ep4 1 0 : 10.244.0.5 8080",
        "ep4 1 1 : 10.9.9.9 8080",
        f"ep4 {1 | LOCAL} 0 : 10.244.0.5 8080",
        "fe4 10.96.0.20 tcp 80 : 1",
        f"np4 tcp 30080 : {1 | LOCAL | EXTERNAL | KEEP}",
        "svc 1 : 2",
        f"svc {1 | LOCAL} : 1",
    ]


def test_internal_traffic_policy_local_without_local_endpoint_drops() -> None:
    svc = service("web", VIP, {"port": 80}, internalTrafficPolicy="Local")
    found = rules(svc, slice_of("web", TCP, endpoint("10.9.9.9", node="other")))
    assert f"fe4 10.96.0.20 tcp 80 : {1 | LOCAL}" in lines(found)
    assert f"svc {1 | LOCAL} : 65535" in lines(found)


def test_load_balancer_addresses() -> None:
    svc = service("web", VIP, {"port": 80}, type="LoadBalancer")
    svc["status"] = {
        "loadBalancer": {
            "ingress": [{"ip": "192.0.2.9"}, {"ip": "192.0.2.8", "ipMode": "Proxy"}, {"hostname": "x"}]
        }
    }
    assert [line for line in lines(rules(svc)) if "192" in line] == [f"fe4 192.0.2.9 tcp 80 : {1 | EXTERNAL}"]


def test_what_conntrack_must_forget() -> None:
    one, other, more = Flows(1, "a", 1), Flows(1, "b", 1), Flows(2, "a", 1)
    assert stale({one, other}, {other}) == {one}
    assert stale({one, other, more}, {more}) == {Flows(1)}
    assert stale({one}, {one, other}) == set()


def test_keys_are_stable_and_adopted() -> None:
    keys = Keys()
    web = Frontend(VIP, "tcp", 80)
    svc = service("web", VIP, {"port": 80}, internalTrafficPolicy="Local")
    table = fragment(svc, [], FACTS, keys.key).elements
    for n in range(5):
        keys.key(Frontend("10.96.0.30", "tcp", n))
    number = keys.key(web)
    later = Keys()
    later.adopt(table)
    assert later.key(web) == number
    assert later.key(Frontend("10.96.0.31", "tcp", 1)) != number


def test_freed_keys_rest() -> None:
    keys = Keys()
    first = keys.key(Frontend("a", "tcp", 1))
    keys.release(Frontend("a", "tcp", 1))
    assert keys.key(Frontend("b", "tcp", 1)) != first
