from __future__ import annotations

import pytest

from sampan.api import discovery, resources
from sampan.api.resources import Resource

WIDGETS = Resource(
    "example.com", "v1", "Widget", "widgets", "widget", True, ("get", "list", "watch"), ("wg",)
)


def test_core_versions() -> None:
    assert discovery.core_versions("10.0.0.1:6443") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}],
    }


def test_groups_stand_in_upstreams_order() -> None:
    names = [group["name"] for group in discovery.group_list()["groups"]]
    assert names[:8] == [
        "apiregistration.k8s.io",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
    ]
    assert "" not in names
    assert set(names) <= set(discovery.GROUP_ORDER)


def test_a_group_prefers_its_newest_stable_version() -> None:
    assert discovery.group("autoscaling") == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "autoscaling",
        "versions": [
            {"groupVersion": "autoscaling/v2", "version": "v2"},
            {"groupVersion": "autoscaling/v1", "version": "v1"},
        ],
        "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
    }
    assert discovery.group("nothing") is None
    assert discovery.group("") is None


def test_versions_sort_by_stability_and_number() -> None:
    versions = ["v1alpha1", "v1", "v10", "foo", "v2beta1", "v2", "v2beta2", "bar"]
    assert sorted(versions, key=discovery.version_priority) == [
        "v10",
        "v2",
        "v1",
        "v2beta2",
        "v2beta1",
        "v1alpha1",
        "bar",
        "foo",
    ]


def test_resource_list_of_the_core() -> None:
    found = discovery.resource_list("", "v1")
    assert found is not None
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", "v1")
    by_name = {entry["name"]: entry for entry in found["resources"]}
    assert by_name["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert by_name["serviceaccounts/token"] == {
        "name": "serviceaccounts/token",
        "singularName": "",
        "namespaced": True,
        "kind": "TokenRequest",
        "group": "authentication.k8s.io",
        "version": "v1",
        "verbs": ["create"],
    }
    assert "storageVersionHash" not in by_name["bindings"]
    names = list(by_name)
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("group", "version", "plural", "value"),
    [
        ("apps", "v1", "deployments", "8aSe+NMegvE="),
        ("", "v1", "events", "r2yiGXH7wu8="),
        ("events.k8s.io", "v1", "events", "r2yiGXH7wu8="),
        ("autoscaling", "v1", "horizontalpodautoscalers", "qwQve8ut294="),
        ("autoscaling", "v2", "horizontalpodautoscalers", "qwQve8ut294="),
    ],
)
def test_storage_version_hashes_are_upstreams(group: str, version: str, plural: str, value: str) -> None:
    found = discovery.resource_list(group, version)
    assert found is not None
    (entry,) = [entry for entry in found["resources"] if entry["name"] == plural]
    assert entry["storageVersionHash"] == value


def test_versions_that_are_not_served_are_not_listed() -> None:
    assert discovery.resource_list("resource.k8s.io", "v1beta1") is None
    assert discovery.resource_list("nothing", "v1") is None


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_aggregated_core(version: str) -> None:
    found = discovery.aggregated_core(version)
    assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", f"apidiscovery.k8s.io/{version}")
    (group,) = found["items"]
    assert group["metadata"]["name"] == ""
    (core,) = group["versions"]
    assert (core["version"], core["freshness"]) == ("v1", "Current")
    (service,) = [entry for entry in core["resources"] if entry["resource"] == "services"]
    assert service == {
        "resource": "services",
        "responseKind": {"group": "", "version": "v1", "kind": "Service"},
        "scope": "Namespaced",
        "singularResource": "service",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["svc"],
        "categories": ["all"],
        "subresources": [
            {
                "subresource": "proxy",
                "responseKind": {"group": "", "version": "v1", "kind": "ServiceProxyOptions"},
                "verbs": ["create", "delete", "get", "patch", "update"],
            },
            {
                "subresource": "status",
                "responseKind": {"group": "", "version": "v1", "kind": "Service"},
                "verbs": ["get", "patch", "update"],
            },
        ],
    }


def test_parts_of_pods_are_advertised() -> None:
    """kubectl drain evicts, and debug adds containers, only where it finds these."""
    found = discovery.resource_list("", "v1")
    assert found is not None
    names = {entry["name"] for entry in found["resources"]}
    assert {"pods/eviction", "pods/resize", "pods/ephemeralcontainers"} <= names


def test_plain_and_aggregated_say_the_same() -> None:
    aggregated = {
        (item["metadata"]["name"], version["version"], entry["resource"])
        for document in (discovery.aggregated_core(), discovery.aggregated_groups())
        for item in document["items"]
        for version in item["versions"]
        for entry in version["resources"]
    }
    served = {
        (entry.group, entry.version, entry.plural) for entry in resources.all_resources() if entry.served
    }
    assert aggregated == served
    plain = set()
    for group, version in {(group, version) for group, version, _ in served}:
        found = discovery.resource_list(group, version)
        assert found is not None
        plain |= {(group, version, entry["name"]) for entry in found["resources"] if "/" not in entry["name"]}
    assert plain == served


def test_resources_served_besides_the_built_in_ones() -> None:
    assert discovery.group("example.com", [WIDGETS]) is not None
    assert discovery.group_list([WIDGETS])["groups"][-1]["name"] == "example.com"
    found = discovery.resource_list("example.com", "v1", [WIDGETS])
    assert found is not None
    assert [entry["shortNames"] for entry in found["resources"]] == [["wg"]]
    assert discovery.aggregated_groups(extra=[WIDGETS])["items"][-1]["metadata"]["name"] == "example.com"
