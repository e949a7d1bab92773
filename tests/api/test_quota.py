"""What quotas count."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.quota import CLAIMS, Tally, counted, in_scope, pretty, tallied, texts, usage
from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, Resource

META: Obj = {"name": "a", "namespace": "default"}


def pod(requests: Obj | None = None, limits: Obj | None = None, **spec: Any) -> Obj:
    given = {"requests": requests or {}, "limits": limits or {}}
    return {"metadata": META, "spec": {"containers": [{"name": "c", "resources": given}], **spec}}


def shown(resource: Resource, obj: Obj) -> str:
    return pretty(usage(resource, obj))


def test_pods() -> None:
    asked = pod({"cpu": "100m", "memory": "1Gi", "example.com/gpu": "2"}, {"cpu": "1"})
    assert shown(PODS, asked) == (
        "count/pods=1,cpu=100m,limits.cpu=1,memory=1Gi,pods=1,requests.cpu=100m,"
        "requests.example.com/gpu=2,requests.memory=1Gi"
    )
    assert shown(PODS, asked | {"status": {"phase": "Succeeded"}}) == "count/pods=1"


def test_services() -> None:
    ports = [{"port": 1}, {"port": 2, "nodePort": 30000}]
    service: Obj = {"metadata": META, "spec": {"ports": ports, "type": "LoadBalancer"}}
    assert shown(SERVICES, service) == (
        "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2"
    )
    service["spec"]["allocateLoadBalancerNodePorts"] = False
    assert usage(SERVICES, service)["services.nodeports"].nano == 10**9
    assert shown(SERVICES, {"metadata": META, "spec": {"ports": ports}}) == "count/services=1,services=1"


def test_claims_and_other_objects() -> None:
    claim: Obj = {"metadata": META, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    assert shown(CLAIMS, claim) == (
        "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=1Gi"
    )
    claim["spec"]["storageClassName"] = "fast"
    claim["status"] = {"allocatedResources": {"storage": "2Gi"}}
    assert texts(usage(CLAIMS, claim))["fast.storageclass.storage.k8s.io/requests.storage"] == "2Gi"
    assert shown(CONFIG_MAPS, {"metadata": META}) == "configmaps=1,count/configmaps=1"
    assert shown(DEPLOYMENTS, {"metadata": META}) == "count/deployments.apps=1"


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("pods", PODS),
        ("limits.cpu", PODS),
        ("requests.example.com/gpu", PODS),
        ("services.nodeports", SERVICES),
        ("requests.storage", CLAIMS),
        ("fast.storageclass.storage.k8s.io/persistentvolumeclaims", CLAIMS),
        ("count/deployments.apps", DEPLOYMENTS),
        ("count/nothing.example.com", None),
    ],
)
def test_whose_objects_are_counted(name: str, resource: Resource | None) -> None:
    assert counted(name) == resource


def affinity(**term: Any) -> Obj:
    rule = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"podAntiAffinity": {rule: [{"topologyKey": "k", **term}]}}


@pytest.mark.parametrize(
    ("scope", "inside", "outside"),
    [
        ("Terminating", pod(activeDeadlineSeconds=1), pod()),
        ("NotTerminating", pod(), pod(activeDeadlineSeconds=0)),
        ("BestEffort", pod(), pod({"cpu": "1"})),
        ("NotBestEffort", pod({"cpu": "1"}), pod()),
        ("CrossNamespacePodAffinity", pod(affinity=affinity(namespaces=["x"])), pod(affinity=affinity())),
    ],
)
def test_scopes(scope: str, inside: Obj, outside: Obj) -> None:
    spec = {"scopes": [scope]}
    assert in_scope(spec, PODS, inside) and not in_scope(spec, PODS, outside)
    assert not in_scope(spec, CONFIG_MAPS, {"metadata": META}), "scopes pick Pods"


@pytest.mark.parametrize(
    ("operator", "picked"), [("In", "ab"), ("NotIn", "c-"), ("Exists", "abc"), ("DoesNotExist", "-")]
)
def test_priority_classes(operator: str, picked: str) -> None:
    want = {"scopeName": "PriorityClass", "operator": operator, "values": ["a", "b"]}
    spec = {"scopeSelector": {"matchExpressions": [want]}}
    names = {"a": "a", "b": "b", "c": "c", "-": ""}
    found = [key for key, name in names.items() if in_scope(spec, PODS, pod(priorityClassName=name))]
    assert "".join(found) == picked


def test_a_tally_follows_changes() -> None:
    quota = {"metadata": META, "spec": {"hard": {"pods": "5", "memory": "1Gi"}}}
    tally = tallied(quota, lambda resource: [pod({"memory": "1Mi"})])
    assert texts(tally.used) == {"pods": "1", "memory": "1Mi"}
    assert tally.count(PODS, pod({"memory": "1Mi"}), pod({"memory": "2Mi"}))
    assert not tally.count(PODS, pod({"memory": "2Mi"}), pod({"memory": "2Mi"})), "nothing has changed"
    assert not tally.count(CONFIG_MAPS, None, {"metadata": META})
    tally.count(PODS, pod({"memory": "2Mi"}), None)
    assert texts(tally.used) == {"pods": "0", "memory": "0"}


def test_what_containers_have_to_name() -> None:
    tally = Tally({"metadata": META, "spec": {"hard": {"limits.cpu": "1", "memory": "1Gi", "pods": "1"}}})
    assert tally.lacking(pod()) == "limits.cpu for: c; memory for: c"
    assert tally.lacking(pod({"memory": "1"}, {"cpu": "1"})) == ""
    whole = {"requests": {"memory": "1"}, "limits": {"cpu": "1"}}
    assert tally.lacking(pod(resources=whole)) == "", "what the Pod names, its containers need not"
