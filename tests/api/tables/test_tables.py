"""Golden Tables, and promises that hold for the tables of every kind."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import shapes
from sampan.api import tables
from sampan.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    resource,
)

NOW = 1735689600.0
META = {"name": "a", "creationTimestamp": "2024-12-31T23:59:00Z"}

NAMESPACE_TABLE = (
    '{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},'
    '"columnDefinitions":['
    '{"name":"Name","type":"string","format":"name","description":"","priority":0},'
    '{"name":"Status","type":"string","format":"","description":"","priority":0},'
    '{"name":"Age","type":"string","format":"","description":"","priority":0}],'
    '"rows":[{"cells":["a","Active","60s"],"object":{"kind":"PartialObjectMetadata",'
    '"apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","creationTimestamp":"2024-12-31T23:59:00Z"}}}]}'
)


def test_golden_table():
    namespace = {"kind": "Namespace", "metadata": META, "status": {"phase": "Active"}}
    found = tables.table(NAMESPACES, [namespace], {"resourceVersion": "7", "continue": ""}, "Metadata", NOW)
    assert orjson.dumps(found).decode() == NAMESPACE_TABLE


def test_include_object_and_list_metadata():
    pod = {"metadata": META, "spec": {"containers": []}, "status": {"phase": "Succeeded"}}
    meta = {"resourceVersion": "9", "continue": "abc", "remainingItemCount": 3, "selfLink": ""}
    whole = tables.table(PODS, [pod], meta, "Object", NOW)
    assert whole["metadata"] == {"resourceVersion": "9", "continue": "abc", "remainingItemCount": 3}
    assert whole["rows"][0]["object"] is pod
    assert whole["rows"][0]["conditions"][0]["reason"] == "Succeeded"
    assert "object" not in tables.table(PODS, [pod], meta, "None", NOW)["rows"][0]


TEMPLATE = {"spec": {"containers": [{"name": "x", "image": "nginx"}, {"name": "y", "image": "redis:7"}]}}
SELECTOR = {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    ("kind", "obj", "cells"),
    [
        (
            DEPLOYMENTS,
            {
                "spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
            },
            ["a", "2/3", 3, 2, "60s", "x,y", "nginx,redis:7", "app=web"],
        ),
        (
            REPLICA_SETS,
            {"spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}, "status": {"replicas": 2}},
            ["a", 3, 2, 0, "60s", "x,y", "nginx,redis:7", "app=web"],
        ),
        (
            SERVICES,
            {
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": "10.96.0.7",
                    "clusterIPs": ["10.96.0.7"],
                    "selector": {"b": "2", "a": "1"},
                    "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                }
            },
            ["a", "ClusterIP", "10.96.0.7", "<none>", "80/TCP,53/UDP", "60s", "a=1,b=2"],
        ),
        (
            SERVICES,
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "None",
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}],
                }
            },
            ["a", "NodePort", "None", "<none>", "80:30080/TCP", "60s", "<none>"],
        ),
        (
            SERVICES,
            {"spec": {"type": "ExternalName", "externalName": "db.example.com"}},
            ["a", "ExternalName", "<none>", "db.example.com", "<none>", "60s", "<none>"],
        ),
        (
            SERVICES,
            {"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}},
            ["a", "LoadBalancer", "10.0.0.1", "<pending>", "<none>", "60s", "<none>"],
        ),
        (
            ENDPOINTS,
            {
                "subsets": [
                    {
                        "addresses": [{"ip": f"10.0.0.{n}"} for n in range(1, 6)],
                        "ports": [{"port": 80}],
                    }
                ]
            },
            ["a", "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more...", "60s"],
        ),
        (ENDPOINTS, {}, ["a", "<none>", "60s"]),
        (
            ENDPOINTS,
            {"subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}]},
            ["a", "[fd00::1]:80", "60s"],
        ),
        (
            ENDPOINT_SLICES,
            {
                "addressType": "IPv4",
                "ports": [{"port": 80}, {"name": "x"}],
                "endpoints": [{"addresses": ["10.0.0.1"]}],
            },
            ["a", "IPv4", "80,x", "10.0.0.1", "60s"],
        ),
        (ENDPOINT_SLICES, {"addressType": "IPv4"}, ["a", "IPv4", "<unset>", "<unset>", "60s"]),
        (
            NODES,
            {
                "metadata": {**META, "labels": {"node-role.kubernetes.io/control-plane": ""}},
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "100.64.0.2"}],
                    "nodeInfo": {"kubeletVersion": "v1.35.0"},
                },
            },
            [
                "a",
                "Ready,SchedulingDisabled",
                "control-plane",
                "60s",
                "v1.35.0",
                "100.64.0.2",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>",
            ],
        ),
        (CONFIG_MAPS, {"data": {"a": "b"}, "binaryData": {"c": ""}}, ["a", 2, "60s"]),
        (SECRETS, {"type": "Opaque", "data": {"a": ""}}, ["a", "Opaque", 1, "60s"]),
        (SERVICE_ACCOUNTS, {}, ["a", "60s"]),
        (LEASES, {"spec": {"holderIdentity": "n1"}}, ["a", "n1", "60s"]),
        (
            EVENTS,
            {
                "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{x}"},
                "type": "Normal",
                "reason": "Started",
                "message": " Started container x\n",
                "source": {"component": "kubelet", "host": "n1"},
                "firstTimestamp": "2024-12-31T23:50:00Z",
                "lastTimestamp": "2024-12-31T23:59:55Z",
                "count": 4,
            },
            [
                "5s",
                "Normal",
                "Started",
                "pod/web",
                "spec.containers{x}",
                "kubelet, n1",
                "Started container x",
                "10m",
                4,
                "a",
            ],
        ),
        (
            resource("batch", "v1", "jobs"),
            {
                "spec": {"completions": 3, "template": TEMPLATE},
                "status": {"succeeded": 1, "startTime": "2024-12-31T23:59:30Z"},
            },
            ["a", "Running", "1/3", "30s", "60s", "x,y", "nginx,redis:7", "<none>"],
        ),
        (
            resource("autoscaling", "v2", "horizontalpodautoscalers"),
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                    "minReplicas": 1,
                    "maxReplicas": 5,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "cpu", "target": {"averageUtilization": 80}},
                        }
                    ],
                },
                "status": {"currentReplicas": 2},
            },
            ["a", "Deployment/web", "cpu: <unknown>/80%", "1", 5, 2, "60s"],
        ),
        (
            resource("rbac.authorization.k8s.io", "v1", "roles"),
            {},
            ["a", "2024-12-31T23:59:00Z"],
        ),
    ],
)
def test_rows(kind, obj, cells):
    obj = {"metadata": META, **obj}
    assert tables.table(kind, [obj], {}, "None", NOW)["rows"] == [{"cells": cells}]


def test_a_scale_has_columns_of_its_own():
    scale = {"metadata": META, "spec": {"replicas": 3}, "status": {"replicas": 2}}
    found = tables.table(DEPLOYMENTS, [scale], {}, "None", NOW, subresource="scale")
    assert found["rows"] == [{"cells": ["a", 3, 2, "60s"]}]
    assert [column["name"] for column in found["columnDefinitions"]] == [
        "Name",
        "Desired",
        "Available",
        "Age",
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", shapes.served(), ids=lambda kind: f"{kind.qualified}/{kind.version}")
@given(data=st.data())
def test_every_object_can_be_printed(kind, data):
    obj = data.draw(shapes.objects(kind))
    found = tables.table(kind, [obj], {}, "Metadata", NOW)
    for row in found["rows"]:
        assert len(row["cells"]) == len(found["columnDefinitions"])
        assert all(isinstance(cell, str | int | bool) for cell in row["cells"])
