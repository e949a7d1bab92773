"""The table of resources: every row can be found by its URL and by its kind, and knows its paths."""

from __future__ import annotations

import pytest

from sampan.api.resources import (
    DEPLOYMENTS,
    NODES,
    PODS,
    Resource,
    all_resources,
    find,
    find_kind,
    resource,
)

SERVED = [row for row in all_resources() if row.served]


@pytest.mark.parametrize(
    ("row", "asked", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("ns",), "/api/v1/namespaces/ns/pods"),
        (PODS, ("ns", "web", "log"), "/api/v1/namespaces/ns/pods/web/log"),
        (DEPLOYMENTS, ("ns", "web"), "/apis/apps/v1/namespaces/ns/deployments/web"),
        (NODES, ("", "n1"), "/api/v1/nodes/n1"),
        (NODES, ("ignored", "n1"), "/api/v1/nodes/n1"),
    ],
)
def test_paths(row: Resource, asked: tuple[str, ...], path: str) -> None:
    assert row.path(*asked) == path


@pytest.mark.parametrize("row", SERVED, ids=lambda row: f"{row.qualified}/{row.version}")
def test_every_served_row_is_found_by_its_url_and_its_kind(row: Resource) -> None:
    assert find(row.group, row.version, row.plural) is row
    by_kind = find_kind(row.api_version, row.kind)
    # Several resources may speak one kind; the answer is one of them.
    assert by_kind is not None and (by_kind.api_version, by_kind.kind) == (row.api_version, row.kind)


def test_no_two_rows_share_a_url_and_no_short_name_means_two_things_of_a_group() -> None:
    urls = [(row.group, row.version, row.plural) for row in all_resources()]
    assert len(urls) == len(set(urls))
    shorts = [(row.group, row.version, name) for row in SERVED for name in row.short_names]
    assert len(shorts) == len(set(shorts))


def test_the_short_names_everybody_types() -> None:
    typed = {name: row.plural for row in SERVED for name in row.short_names if not row.group}
    assert typed.items() >= {
        "po": "pods", "svc": "services", "no": "nodes", "ns": "namespaces", "cm": "configmaps",
        "ep": "endpoints", "sa": "serviceaccounts", "pvc": "persistentvolumeclaims",
    }.items()  # fmt: skip


def test_a_subresource_may_speak_the_kind_of_another_group() -> None:
    scale = DEPLOYMENTS.subresource("scale")
    assert scale is not None and (scale.group, scale.version, scale.kind) == ("autoscaling", "v1", "Scale")
    status = PODS.subresource("status")
    assert status is not None and (status.group, status.version, status.kind) == ("", "v1", "Pod")
    assert PODS.subresource("scale") is None


def test_what_is_not_served_is_not_found() -> None:
    assert find("", "v1", "nonsense") is None and find_kind("v1", "Nonsense") is None
    for row in all_resources():
        if not row.served:
            assert find(row.group, row.version, row.plural) is None
    with pytest.raises(KeyError):
        resource("apps", "v1beta1", "deployments")
