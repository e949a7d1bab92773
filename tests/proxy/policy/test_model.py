"""NetworkPolicy objects as plain grants."""

from __future__ import annotations

import pytest

from harness import policies
from harness.policies import labelled, policy, port
from sampan.api.objects import Obj
from sampan.proxy.policy.model import (
    ANYONE,
    ANYTHING,
    EVERY_POD,
    Block,
    Grant,
    NamedPort,
    Ports,
    isolation,
    pod_of,
    policy_of,
)

HTTP = Ports("tcp", 80, 80)


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ({}, frozenset(), None),
        ({"ingress": [{}]}, {Grant(ANYONE, ANYTHING)}, None),
        ({"egress": [{}]}, frozenset(), {Grant(ANYONE, ANYTHING)}),
        ({"policyTypes": ["Egress"]}, None, frozenset()),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, None, frozenset()),
        ({"policyTypes": ["Ingress", "Egress"]}, frozenset(), frozenset()),
        ({"ingress": [{"ports": [port(80)]}]}, {Grant(ANYONE, HTTP)}, None),
        ({"ingress": [{"from": [], "ports": []}]}, {Grant(ANYONE, ANYTHING)}, None),
        ({"ingress": [{"ports": [port(protocol="SCTP")]}]}, {Grant(ANYONE, Ports("sctp"))}, None),
        (
            {"ingress": [{"ports": [port(80, end=90), port(53, "UDP")]}]},
            {Grant(ANYONE, Ports("tcp", 80, 90)), Grant(ANYONE, Ports("udp", 53, 53))},
            None,
        ),
        (
            {"ingress": [{"from": [{"ipBlock": {"cidr": "10.1.2.3/8", "except": ["10.2.3.4/16"]}}]}]},
            {Grant(Block("10.0.0.0/8", ("10.2.0.0/16",)), ANYTHING)},
            None,
        ),
        (
            {"policyTypes": ["Egress"], "egress": [{"ports": [port("web")]}]},
            None,
            {Grant(EVERY_POD, Ports("tcp", name="web"))},
        ),
    ],
)
def test_what_a_policy_grants(spec: Obj, ingress: object, egress: object) -> None:
    found = policy_of(policy("p", **spec))
    assert (found.ingress, found.egress) == (ingress, egress)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        ({"podSelector": labelled(a="1")}, "pods default [a=1]"),
        ({"podSelector": {}}, "pods default []"),
        ({"namespaceSelector": labelled(n="x")}, "pods [n=x] []"),
        ({"namespaceSelector": {}}, "pods [] []"),
        ({"namespaceSelector": {}, "podSelector": labelled(a="1")}, "pods [] [a=1]"),
    ],
)
def test_whom_a_peer_means(peer: Obj, text: str) -> None:
    found = policy_of(policy("p", ingress=[{"from": [peer]}])).ingress
    assert found and [str(grant.peer) for grant in found] == [text]


def test_selectors_of_nothing_and_of_everything_do_not_read_alike() -> None:
    strange = {"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}
    rules = [{"from": [{"podSelector": selector}]} for selector in ({}, strange)]
    found = policy_of(policy("p", ingress=rules)).ingress or ()
    assert {str(grant.peer) for grant in found} == {"pods default []", "pods default nothing"}


def test_policies_add_up_and_names_of_ports_are_those_of_the_pod() -> None:
    web = policies.pod("web", "default", "10.0.0.2", ports=[{"name": "http", "containerPort": 8080}])
    facts = pod_of(web, "node-1")
    assert facts and facts.local and facts.ports == {NamedPort("http", "tcp", 8080)}
    by_name = policy_of(policy("a", ingress=[{"ports": [port("http"), port("other"), port("http", "UDP")]}]))
    deny, elsewhere = policy_of(policy("b")), policy_of(policy("c", selector=labelled(app="x")))
    found = isolation(facts, [by_name, deny, elsewhere], "ingress")
    assert found and found.policies == ("default/a", "default/b")
    assert found.grants == {Grant(ANYONE, Ports("tcp", 8080, 8080))}
    assert isolation(facts, [elsewhere], "ingress") is None
    assert isolation(facts, [by_name, deny], "egress") is None


@pytest.mark.parametrize(
    "pod",
    [
        policies.pod("ended", "default", "10.0.0.2", phase="Succeeded"),
        policies.pod("failed", "default", "10.0.0.2", phase="Failed"),
        policies.pod("host", "default", "100.64.0.2", host_network=True),
        policies.pod("waiting", "default"),
    ],
)
def test_who_is_no_pod_to_policies(pod: Obj) -> None:
    assert pod_of(pod, "node-1") is None


def test_a_pod_is_known_by_the_addresses_it_is_about_to_get() -> None:
    facts = pod_of(policies.pod("new", "default", node="other"), "node-1", ("10.0.0.9",))
    assert facts and facts.ips == ("10.0.0.9",) and not facts.local
