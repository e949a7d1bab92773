"""A Pod as an endpoint: conditions, ports, families."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.controllers.endpointslice.endpoints import (
    Group,
    Ports,
    address_types,
    by_family,
    desired,
    endpoint_of,
    identity,
    ports_of,
)

NODES = {"n1": ""}
HTTP = {
    "name": "http",
    "port": 80,
    "targetPort": "web",
    "protocol": "TCP",
    "appProtocol": "kubernetes.io/h2c",
}


def service(*ports: Obj, annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    body = {"selector": {"app": "web"}, "clusterIP": "10.96.0.7", "ports": list(ports), **spec}
    metadata = {"name": "web", "namespace": "default", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": body}


def pod(
    name: str = "p", ready: bool = True, deleting: bool = False, phase: str = "Running", **spec: Any
) -> Obj:
    metadata: Obj = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": "web"}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ips = spec.pop("ips", ["10.0.0.1"])
    container = {"name": "c", "ports": spec.pop("ports", [])}
    return {
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": [container], **spec},
        "status": {
            "phase": phase,
            "podIPs": [{"ip": ip} for ip in ips],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


@pytest.mark.parametrize("publish", [False, True])
@pytest.mark.parametrize(
    ("ready", "deleting", "takes_traffic"),
    [(True, False, True), (False, False, False), (True, True, False), (False, True, False)],
)
def test_ready_serving_terminating(ready: bool, deleting: bool, takes_traffic: bool, publish: bool) -> None:
    of = service(publishNotReadyAddresses=publish)
    assert endpoint_of(of, pod(ready=ready, deleting=deleting), "10.0.0.1", {})["conditions"] == {
        "ready": takes_traffic or publish,
        "serving": ready,
        "terminating": deleting,
    }


def test_an_endpoint_names_its_pod_its_node_and_the_nodes_zone() -> None:
    assert endpoint_of(service(), pod(), "10.0.0.1", {"n1": "z1", "n2": "z2"}) == {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "uid-p"},
        "nodeName": "n1",
        "zone": "z1",
    }
    assert "zone" not in endpoint_of(service(), pod(), "10.0.0.1", {"n2": "z2"})
    assert "nodeName" not in endpoint_of(service(), pod(nodeName=""), "10.0.0.1", {"": "z"})


@pytest.mark.parametrize(
    ("spec", "hostname"),
    [
        ({"hostname": "db-0", "subdomain": "web"}, "db-0"),
        ({"hostname": "db-0", "subdomain": "other"}, None),
        ({"hostname": "db-0"}, None),
        ({"subdomain": "web"}, None),
    ],
)
def test_a_name_of_its_own_has_who_is_in_the_services_subdomain(spec: Obj, hostname: str | None) -> None:
    assert endpoint_of(service(), pod(**spec), "10.0.0.1", {}).get("hostname") == hostname


@pytest.mark.parametrize(
    ("ports", "declared", "found"),
    [
        ([{"port": 80}], [], (("", 80, "TCP", ""),)),
        ([{"port": 80, "targetPort": 8080}], [], (("", 8080, "TCP", ""),)),
        ([HTTP], [{"name": "web", "containerPort": 81}], (("http", 81, "TCP", "kubernetes.io/h2c"),)),
        ([HTTP], [{"name": "web", "containerPort": 81, "protocol": "UDP"}], ()),
        ([HTTP], [], ()),
        (
            [{"name": "a", "port": 1, "protocol": "UDP"}, HTTP, {"name": "b", "port": 2}],
            [],
            (("a", 1, "UDP", ""), ("b", 2, "TCP", "")),
        ),
    ],
)
def test_a_name_the_pod_does_not_declare_leads_nowhere(
    ports: list[Obj], declared: list[Obj], found: Ports
) -> None:
    assert ports_of(ports, pod(ports=declared)) == found


def names(found: dict[Group, dict[str, Obj]]) -> dict[Group, list[str]]:
    return {
        group: [each["targetRef"]["name"] for each in endpoints.values()]
        for group, endpoints in found.items()
    }


def test_pods_that_serve_on_other_ports_are_another_group() -> None:
    old, new = ([{"name": "web", "containerPort": port}] for port in (80, 8080))
    pods = [pod("a", ports=old), pod("b", ports=new), pod("c", ports=old), pod("portless")]
    assert names(desired(service(HTTP), pods, NODES)) == {
        Group("IPv4", (("http", 80, "TCP", "kubernetes.io/h2c"),)): ["a", "c"],
        Group("IPv4", (("http", 8080, "TCP", "kubernetes.io/h2c"),)): ["b"],
        Group("IPv4", ()): ["portless"],
    }


def test_a_headless_service_without_ports_still_has_its_pods() -> None:
    headless = service(clusterIP="None", ipFamilies=["IPv4"])
    assert names(desired(headless, [pod("a")], NODES)) == {Group("IPv4", ()): ["a"]}


@pytest.mark.parametrize("gone", [pod(phase="Succeeded"), pod(phase="Failed"), pod(ips=[])])
def test_a_pod_that_has_ended_or_has_no_address_is_no_endpoint(gone: Obj) -> None:
    assert names(desired(service({"port": 80}), [gone], NODES)) == {Group("IPv4", ()): []}


def test_each_family_of_the_service_has_a_group_be_it_empty() -> None:
    dual = service({"port": 80}, ipFamilies=["IPv6", "IPv4"])
    both, four = pod("both", ips=["10.0.0.1", "fd00::1", "10.0.0.9"]), pod("four", ips=["10.0.0.2"])
    ports = (("", 80, "TCP", ""),)
    assert names(desired(dual, [both, four], NODES)) == {
        Group("IPv6", ports): ["both"],
        Group("IPv4", ports): ["both", "four"],
    }
    assert names(desired(dual, [four], NODES)) == {Group("IPv4", ports): ["four"], Group("IPv6", ()): []}
    assert address_types(service()) == ["IPv4"]
    assert by_family(["fd00::2", "10.0.0.1", "10.0.0.2"]) == {"IPv6": "fd00::2", "IPv4": "10.0.0.1"}


def test_a_namesake_or_a_new_address_is_another_endpoint() -> None:
    def of(uid: str, address: str) -> str:
        return identity({"targetRef": {"uid": uid}, "addresses": [address]})

    assert len({of("a", "1.1.1.1"), of("b", "1.1.1.1"), of("a", "2.2.2.2")}) == 3


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({"ipFamilies": ["IPv6", "IPv4"]}, ["IPv6", "IPv4"]),
        ({"clusterIP": "10.96.0.7"}, ["IPv4"]),
        ({"clusterIP": "fd00::7"}, ["IPv6"]),
        ({"clusterIP": "None"}, ["IPv4", "IPv6"]),
    ],
)
def test_the_families_of_a_service(spec: Obj, families: list[str]) -> None:
    assert address_types(service(**spec)) == families


def test_a_pod_whose_node_has_gone_is_no_endpoint_unless_all_are_published() -> None:
    ports = (("", 80, "TCP", ""),)
    asked = service({"port": 80})
    assert names(desired(asked, [pod("a")], {})) == {Group("IPv4", ()): []}
    assert names(desired(asked, [pod("a", nodeName="")], {})) == {Group("IPv4", ports): ["a"]}
    published = service({"port": 80}, publishNotReadyAddresses=True)
    assert names(desired(published, [pod("a")], {})) == {Group("IPv4", ports): ["a"]}


def test_the_order_of_the_services_ports_makes_no_other_group() -> None:
    a, b = {"name": "a", "port": 1}, {"name": "b", "port": 2}
    assert list(desired(service(a, b), [pod()], NODES)) == list(desired(service(b, a), [pod()], NODES))


ZONE, NODE = {"forZones": [{"name": "z1"}]}, {"forNodes": [{"name": "n1"}]}
AUTO = {"service.kubernetes.io/topology-mode": "Auto"}


@pytest.mark.parametrize(
    ("distribution", "zone", "ready", "annotations", "hints"),
    [
        ("PreferClose", "z1", True, {}, ZONE),
        ("PreferSameZone", "z1", True, {}, ZONE),
        ("PreferSameNode", "z1", True, {}, {**ZONE, **NODE}),
        ("PreferSameNode", "", True, {}, NODE),
        ("PreferClose", "", True, {}, None),
        ("PreferClose", "z1", False, {}, None),
        (None, "z1", True, {}, None),
        ("PreferClose", "z1", True, AUTO, None),
        ("PreferClose", "z1", True, {**AUTO, "service.kubernetes.io/topology-aware-hints": "no"}, ZONE),
    ],
)
def test_traffic_distribution(
    distribution: str | None, zone: str, ready: bool, annotations: dict[str, str], hints: Obj | None
) -> None:
    asked = service({"port": 80}, annotations=annotations, trafficDistribution=distribution)
    assert endpoint_of(asked, pod(ready=ready), "10.0.0.1", {"n1": zone}).get("hints") == hints
