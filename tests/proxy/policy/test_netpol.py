"""Upstream's own scenarios (test/e2e/network/netpol): namespaces x, y, z with Pods a, b, c, real packets.

All of them in one lab, one after the other, so that each is also a change from the one before. What should
get through is told by the oracle; a few truths that upstream spells out are spelled out here, too.
"""

from __future__ import annotations

from itertools import product

import pytest

from harness import policies
from harness.lab import NODE, Lab
from harness.policies import labelled, policy, port
from harness.policylab import PolicyLab
from harness.policymatrix import Matrix
from harness.policyoracle import Cluster, Flow
from sampan.api.objects import Obj, key_of
from sampan.api.resources import NAMESPACES, NETWORK_POLICIES, PODS

pytestmark = pytest.mark.root

A = labelled(pod="a")
ANY: list[Obj] = [{}]
IN, OUT, BOTH = ["Ingress"], ["Egress"], ["Ingress", "Egress"]


def from_pods(*names: str) -> Obj:
    return {"matchExpressions": [{"key": "pod", "operator": "In", "values": list(names)}]}


def from_spaces(*names: str) -> Obj:
    return {"matchExpressions": [{"key": "ns", "operator": "In", "values": list(names)}]}


def ingress(*peers: Obj, ports: list[Obj] | None = None) -> list[Obj]:
    return [{**({"from": list(peers)} if peers else {}), **({"ports": ports} if ports else {})}]


def egress(*peers: Obj, ports: list[Obj] | None = None) -> list[Obj]:
    return [{**({"to": list(peers)} if peers else {}), **({"ports": ports} if ports else {})}]


def pods(selector: Obj) -> Obj:
    return {"podSelector": selector}


def spaces(selector: Obj) -> Obj:
    return {"namespaceSelector": selector}


def on(name: str, selector: Obj, kinds: list[str], **spec: object) -> Obj:
    return policy(name, "x", selector, policyTypes=kinds, **spec)


def block(cidr: str, *holes: str) -> Obj:
    return {"ipBlock": {"cidr": cidr, **({"except": list(holes)} if holes else {})}}


SCENARIOS: dict[str, list[Obj]] = {
    "no policy": [],
    "default-deny-ingress": [on("p", {}, IN)],
    "default-deny-all": [on("p", {}, BOTH)],
    "traffic from pods within server namespace based on PodSelector": [
        on("p", A, IN, ingress=ingress(pods(labelled(pod="c"))))
    ],
    "ingress traffic for a target": [
        on("deny", {}, IN),
        on("allow", A, IN, ingress=ingress(pods(labelled(pod="b")))),
    ],
    "ingress traffic from pods in all namespaces": [on("p", A, IN, ingress=ingress(spaces({})))],
    "traffic only from a different namespace": [on("p", A, IN, ingress=ingress(spaces(labelled(ns="y"))))],
    "PodSelector with MatchExpressions": [on("p", A, IN, ingress=ingress(pods(from_pods("c"))))],
    "NamespaceSelector with MatchExpressions": [on("p", A, IN, ingress=ingress(spaces(from_spaces("y"))))],
    "PodSelector or NamespaceSelector": [
        on("p", A, IN, ingress=ingress(spaces(from_spaces("y", "z")), pods(from_pods("b"))))
    ],
    "PodSelector and NamespaceSelector": [
        on("p", A, IN, ingress=ingress({**spaces(from_spaces("y", "z")), **pods(from_pods("b"))}))
    ],
    "Multiple PodSelectors and NamespaceSelectors": [
        on(
            "p",
            A,
            IN,
            ingress=ingress({**spaces(from_spaces("y", "z")), **pods(from_pods("b", "c"))}),
        )
    ],
    "any PodSelectors": [on("p", A, IN, ingress=ingress(pods(labelled(pod="b")), pods(labelled(pod="c"))))],
    "only from a pod in a different namespace": [
        on("p", A, IN, ingress=ingress({**spaces(labelled(ns="y")), **pods(labelled(pod="a"))}))
    ],
    "based on Ports": [on("p", A, IN, ingress=ingress(spaces(labelled(ns="y")), ports=[port(81)]))],
    "stacked policies with overlapping podSelectors": [
        on("first", A, IN, ingress=ingress(spaces(labelled(ns="y")), ports=[port(81)])),
        on("second", {}, IN, ingress=ingress(spaces(labelled(ns="y")), ports=[port(80)])),
    ],
    "allow-all policy": [on("p", {}, IN, ingress=ANY)],
    "ingress on one named port": [on("p", A, IN, ingress=ingress(ports=[port("serve-81-tcp")]))],
    "ingress from namespace on one named port": [
        on("p", A, IN, ingress=ingress(spaces(labelled(ns="y")), ports=[port("serve-80-tcp")]))
    ],
    "egress on one named port": [on("p", A, OUT, egress=egress(ports=[port("serve-80-tcp")]))],
    "deny ingress from pods on other namespaces": [on("p", {}, IN, ingress=ingress(pods({})))],
    "deny egress from pods based on PodSelector": [on("p", A, OUT)],
    "deny egress from all pods in a namespace": [on("p", {}, OUT)],
    "Ingress, Egress specified together": [
        on(
            "p",
            A,
            BOTH,
            ingress=ingress(pods(labelled(pod="b"))),
            egress=egress(ports=[port(80), port(80, "UDP")]),
        )
    ],
    "egress denied on the client side even if the server allows": [
        on("client", A, OUT, egress=egress({**spaces(labelled(ns="y")), **pods(labelled(pod="b"))})),
        policy("server", "y", labelled(pod="c"), ingress=ANY),
    ],
    "egress to a server in a different namespace": [
        on("p", A, OUT, egress=egress({**spaces(labelled(ns="y")), **pods(labelled(pod="b"))}))
    ],
    "any port traffic on a specific protocol": [on("p", A, IN, ingress=ingress(ports=[port()]))],
    "multiple ingress policies, allow-all taking precedence": [
        on("deny", {}, IN),
        on("some", A, IN, ingress=ingress(pods(labelled(pod="b")))),
        on("all", {}, IN, ingress=ANY),
    ],
    "multiple egress policies, allow-all taking precedence": [
        on("deny", {}, OUT),
        on("all", {}, OUT, egress=ANY),
    ],
    "ingress and egress controlled independently": [
        on("in", A, IN, ingress=ingress(pods(labelled(pod="b")))),
        on("out", A, OUT, egress=egress(pods(labelled(pod="c")))),
    ],
    "SCTP is not TCP": [on("p", A, IN, ingress=ingress(ports=[port(81, "SCTP")]))],
    "a policy allowing SCTP isolates": [on("p", A, IN, ingress=ingress(ports=[port(80, "SCTP")]))],
    "only UDP": [on("p", {}, IN, ingress=ingress(ports=[port(80, "UDP")]))],
    "UDP port of a namespace": [
        on("p", A, IN, ingress=ingress(spaces(labelled(ns="y")), ports=[port(81, "UDP")]))
    ],
    "ingress on a port range": [on("p", {}, IN, ingress=ingress(ports=[port(75, end=80)]))],
    "egress on port ranges": [
        on("p", A, OUT, egress=egress(ports=[port(60, end=80), port(81, "SCTP", 4000)])),
    ],
    "policies in every namespace": [
        policy(f"{name}-only", name, {}, ingress=ingress(spaces(labelled(ns=name)))) for name in "xyz"
    ],
}


def with_addresses(ips: dict[str, str]) -> dict[str, list[Obj]]:
    """Scenarios that speak of Pods by address."""
    target = ips["y/b"]
    wide = f"{target}/24"
    return {
        "egress to a server in CIDR block": [on("p", A, OUT, egress=egress(block(f"{target}/32")))],
        "except clause": [on("p", A, OUT, egress=egress(block(wide, f"{target}/32")))],
        "an address in both is allowed by another policy": [
            on("wide", A, OUT, egress=egress(block(wide, f"{target}/32"))),
            on("one", A, OUT, egress=egress(block(f"{target}/32"))),
        ],
        "ingress from a block": [on("p", A, IN, ingress=ingress(block(f"{target}/32"), ports=[port(80)]))],
    }


async def test_upstreams_scenarios(lab: Lab) -> None:
    ward, cluster = PolicyLab(lab), Cluster(NODE)
    await furnish(ward, cluster)
    ips = {key: place.ip for key, place in ward.places.items()}
    flows = [
        Flow(source, destination, protocol, number)
        for source, destination in product(ips.values(), ips.values())
        if source != destination
        for protocol, number in (("TCP", 80), ("TCP", 81), ("UDP", 80), ("UDP", 81), ("SCTP", 81))
    ]
    names = {ip: key for key, ip in ips.items()}
    async with ward.enforced() as enforcer, Matrix(ward).listening() as matrix:
        for title, wanted in {**SCENARIOS, **with_addresses(ips)}.items():
            for key in list(cluster.policies):
                lab.api.remove(NETWORK_POLICIES, *reversed(key.split("/")))
            cluster.policies = {key_of(each): each for each in wanted}
            lab.api.add(*wanted)
            await ward.settled()
            expected = {flow for flow in flows if cluster.lets_pass(flow)}
            found = await matrix.ask(flows, expected)
            differ = [
                f"{names[flow.source]} -> {names[flow.destination]} {flow.protocol}/{flow.port}: "
                f"{'got through' if flow in found else 'did not get through'}"
                for flow in sorted(found ^ expected, key=str)
            ]
            assert not differ, (title, differ[:10])
        assert await enforcer.audit() == 0


async def furnish(ward: PolicyLab, cluster: Cluster) -> None:
    for ns in "xyz":
        space = cluster.namespaces[ns] = policies.namespace(ns, ns=ns)
        ward.lab.api.add(space)
        for name in "abc":
            named = [
                {"name": f"serve-{number}-{protocol.lower()}", "containerPort": number, "protocol": protocol}
                for number in (80, 81)
                for protocol in ("TCP", "UDP", "SCTP")
            ]
            await ward.pod(name, ns, serves=(80, 81), ports=named, pod=name)
            found = ward.lab.api.get(PODS, name, ns)
            assert found is not None
            cluster.pods[f"{ns}/{name}"] = found


async def test_updates_of_labels_and_policies_count_at_once(lab: Lab) -> None:
    """Upstream's "updated policy", "updated namespace", "updated pod", "deny ingress to updated pod"."""
    ward = PolicyLab(lab)
    lab.api.add(policies.namespace("x"), policies.namespace("y"))
    server = await ward.pod("server", "x", pod="a")
    client = await ward.pod("client", "y", pod="b")
    matrix = Matrix(ward)
    flow = Flow(client.ip, server.ip, "UDP", 8080)

    async def passes(*, expected: bool) -> None:
        await ward.settled()
        assert (flow in await matrix.ask([flow], {flow} if expected else set())) == expected

    allow = on("p", A, IN, ingress=ingress({**spaces(labelled(team="t")), **pods(labelled(role="r"))}))
    async with ward.enforced(allow), matrix.listening():
        await passes(expected=False)
        lab.api.add(policies.namespace("y", team="t"))
        await passes(expected=False)
        lab.api.add(policies.pod("client", "y", client.ip, pod="b", role="r"))
        await passes(expected=True)
        lab.api.add(policies.namespace("y"))
        await passes(expected=False)
        lab.api.add(on("p", A, IN, ingress=ANY))
        await passes(expected=True)
        lab.api.add(on("p", A, IN))
        await passes(expected=False)
        lab.api.add(policies.pod("server", "x", server.ip, pod="other"))
        await passes(expected=True)
        lab.api.add(policies.pod("server", "x", server.ip, pod="a"))
        await passes(expected=False)
        lab.api.remove(NETWORK_POLICIES, "p", "x")
        await passes(expected=True)
        lab.api.remove(NAMESPACES, "y")
        await passes(expected=True)
