"""Each filter by example, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.scheduler.diagnosis import message
from sampan.scheduler.facts import NodeInfo, pod_facts
from sampan.scheduler.filters import Refusal, asked, check


def node(name: str = "n1", labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    allocatable = spec.pop("allocatable", {"cpu": "2", "memory": "2Gi", "pods": "10"})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": allocatable},
    }


def pod(name: str = "p", labels: dict[str, str] | None = None, ns: str = "default", **spec: Any) -> Obj:
    requests = spec.pop("requests", {})
    ports = spec.pop("ports", [])
    container = {"name": "c", "image": "i", "resources": {"requests": requests}, "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": ns, "uid": f"uid-{name}", "labels": labels or {}},
        "spec": {"containers": [container], **spec},
        "status": {"phase": "Pending"},
    }


def refusal(wanted: Obj, on: Obj, *others: Obj) -> Refusal | None:
    info = NodeInfo(on)
    for other in others:
        info.add(pod_facts(other))
    return check(asked(pod_facts(wanted), [info], {}), info)


TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}
TERMS = "requiredDuringSchedulingIgnoredDuringExecution"


def node_affinity(**term: Any) -> Obj:
    return {"nodeAffinity": {TERMS: {"nodeSelectorTerms": [term]}}}


def expression(key: str, operator: str, *values: str) -> Obj:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("wanted", "on", "reasons"),
    [
        (pod(requests={"cpu": "2"}), node(), ()),
        (pod(requests={"cpu": "2001m"}), node(), ("Insufficient cpu",)),
        (
            pod(requests={"cpu": "3", "memory": "3Gi"}),
            node(),
            ("Insufficient cpu", "Insufficient memory"),
        ),
        (pod(requests={"nvidia.com/gpu": "1"}), node(), ("Insufficient nvidia.com/gpu",)),
        (pod(), node(allocatable={"pods": "0"}), ("Too many pods",)),
        (pod(), node(unschedulable=True), ("node(s) were unschedulable",)),
        (
            pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
            node(unschedulable=True),
            (),
        ),
        (pod(), node(taints=[TAINT]), ("node(s) had untolerated taint(s)",)),
        (pod(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), ()),
        (pod(tolerations=[{"key": "k", "value": "v"}]), node(taints=[TAINT]), ()),
        (
            pod(tolerations=[{"key": "k", "value": "w"}]),
            node(taints=[TAINT]),
            ("node(s) had untolerated taint(s)",),
        ),
        (pod(tolerations=[{"operator": "Exists"}]), node(taints=[TAINT]), ()),
        (pod(nodeSelector={"disk": "ssd"}), node(labels={"disk": "ssd"}), ()),
        (
            pod(nodeSelector={"disk": "ssd"}),
            node(),
            ("node(s) didn't match Pod's node affinity/selector",),
        ),
        (
            pod(affinity=node_affinity(matchExpressions=[expression("disk", "In", "ssd", "nvme")])),
            node(labels={"disk": "nvme"}),
            (),
        ),
        (
            pod(affinity=node_affinity(matchExpressions=[expression("cores", "Gt", "8")])),
            node(labels={"cores": "8"}),
            ("node(s) didn't match Pod's node affinity/selector",),
        ),
        (
            pod(affinity=node_affinity(matchFields=[expression("metadata.name", "In", "n1")])),
            node(),
            (),
        ),
        (pod(nodeName="other"), node(), ("node(s) didn't match the requested node name",)),
    ],
)
def test_one_pod_on_an_empty_node(wanted: Obj, on: Obj, reasons: tuple[str, ...]) -> None:
    found = refusal(wanted, on)
    assert (found.reasons if found else ()) == reasons


def port(number: int, ip: str = "", protocol: str = "TCP") -> list[Obj]:
    return [{"containerPort": 80, "hostPort": number, "hostIP": ip, "protocol": protocol}]


@pytest.mark.parametrize(
    ("mine", "theirs", "fits"),
    [
        (port(80), port(80), False),
        (port(80), port(81), True),
        (port(80), port(80, protocol="UDP"), True),
        (port(80, "127.0.0.1"), port(80, "127.0.0.2"), True),
        (port(80, "127.0.0.1"), port(80), False),
        (port(80), port(80, "127.0.0.1"), False),
    ],
)
def test_host_ports(mine: list[Obj], theirs: list[Obj], fits: bool) -> None:
    found = refusal(pod(ports=mine), node(), pod("other", ports=theirs))
    assert (found is None) == fits
    assert fits or found.reasons == ("node(s) didn't have free ports for the requested pod ports",)


def test_requests_of_others_count() -> None:
    on, full = node(), pod("other", requests={"cpu": "1500m"})
    found = refusal(pod(requests={"cpu": "1"}), on, full)
    assert found == Refusal(("Insufficient cpu",), final=False, filter="NodeResourcesFit")
    assert refusal(pod(requests={"cpu": "500m"}), on, full) is None


def anti(app: str) -> Obj:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {TERMS: [term]}}


def near(app: str) -> Obj:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {TERMS: [term]}}


@pytest.mark.parametrize(
    ("wanted", "other", "reason"),
    [
        (
            pod(affinity=anti("web")),
            pod("o", {"app": "web"}),
            "node(s) didn't match pod anti-affinity rules",
        ),
        (pod(affinity=anti("web")), pod("o", {"app": "db"}), None),
        (pod(affinity=anti("web")), pod("o", {"app": "web"}, ns="elsewhere"), None),
        (
            pod(labels={"app": "web"}),
            pod("o", affinity=anti("web")),
            "node(s) didn't satisfy existing pods anti-affinity rules",
        ),
        (pod(affinity=near("db")), pod("o", {"app": "db"}), None),
        (pod(affinity=near("db")), pod("o", {"app": "x"}), "node(s) didn't match pod affinity rules"),
        # the first of a group that wants to be together may go anywhere
        (pod(labels={"app": "db"}, affinity=near("db")), pod("o", {"app": "x"}), None),
    ],
)
def test_neighbours(wanted: Obj, other: Obj, reason: str | None) -> None:
    found = refusal(wanted, node(), other)
    assert (found.reasons[0] if found else None) == reason


def test_a_pod_that_needs_devices_waits_for_them() -> None:
    found = refusal(pod(resourceClaims=[{"name": "gpu", "resourceClaimName": "a"}]), node())
    assert found == Refusal(("cannot allocate all claims",), True, "DynamicResources")
    assert refusal(pod(), node()) is None


def test_topology_spread() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    infos = [NodeInfo(node("a", {"zone": "1"})), NodeInfo(node("b", {"zone": "2"})), NodeInfo(node("c"))]
    infos[0].add(pod_facts(pod("o", {"app": "web"})))
    wanted = pod_facts(pod(labels={"app": "web"}, topologySpreadConstraints=[constraint]))
    question = asked(wanted, infos, {})
    found = [check(question, info) for info in infos]
    assert [each.reasons[0] if each else None for each in found] == [
        "node(s) didn't match pod topology spread constraints",
        None,
        "node(s) didn't match pod topology spread constraints (missing required label)",
    ]


def test_the_sentence() -> None:
    refusals = [
        Refusal(("Insufficient cpu",), final=False),
        Refusal(("Insufficient cpu", "Insufficient memory"), final=False),
        Refusal(("node(s) were unschedulable",), final=True),
    ]
    assert message(refusals, {}) == (
        "0/3 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, "
        "2 No preemption victims found for incoming pod."
    )
    assert message([], {}) == "no nodes available to schedule pods"
