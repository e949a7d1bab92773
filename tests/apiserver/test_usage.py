from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import NODE_METRICS, NODES, POD_METRICS, PODS


@pytest.fixture
async def used(api: Any, pod: Callable[..., Obj]) -> Any:
    for name in ("n1", "n2"):
        await api.create(NODES, {"metadata": {"name": name, "labels": {"zone": name}}})
    await api.create(PODS, pod("web", "n1", labels={"app": "web"}))
    await api.create(PODS, pod("idle", "n2"))
    return api


async def test_what_a_pod_uses(used: Any) -> None:
    found = await used.call("get", POD_METRICS, "web")
    assert (
        found.pop("metadata").items()
        >= {"name": "web", "namespace": "default", "labels": {"app": "web"}}.items()
    )
    assert found == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "timestamp": "1970-01-01T00:00:00Z",
        "window": "10.500s",
        "containers": [{"name": "c", "usage": {"cpu": "1500000n", "memory": "3072Ki"}}],
    }


async def test_what_nodes_use(used: Any) -> None:
    """A node that cannot be reached has none."""
    found = await used.call("list", NODE_METRICS)
    assert (found["kind"], [item["metadata"]["name"] for item in found["items"]]) == (
        "NodeMetricsList",
        ["n1"],
    )
    assert found["items"][0]["usage"] == {"cpu": "250000000n", "memory": "1048576Ki"}


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["web"]),
        ({"labelSelector": "app=web"}, ["web"]),
        ({"labelSelector": "app=other"}, []),
        ({"fieldSelector": "metadata.name=web"}, ["web"]),
        ({"fieldSelector": "spec.nodeName=n2"}, []),
    ],
)
async def test_selectors_speak_of_the_pods(used: Any, params: dict[str, str], names: list[str]) -> None:
    for namespace in ("default", ""):
        found = await used.call("list", POD_METRICS, namespace=namespace, **params)
        assert [item["metadata"]["name"] for item in found["items"]] == names


@pytest.mark.parametrize("name", ["idle", "nowhere"])
async def test_what_has_no_metrics_is_not_found(used: Any, name: str) -> None:
    with pytest.raises(StatusError, match=f'pods.metrics.k8s.io "{name}" not found'):
        await used.call("get", POD_METRICS, name)


@pytest.mark.parametrize("verb", ["create", "delete", "patch"])
async def test_nothing_else_can_be_done(used: Any, verb: str) -> None:
    with pytest.raises(StatusError) as caught:
        await used.call(verb, POD_METRICS, "web", {})
    assert caught.value.code == 405
