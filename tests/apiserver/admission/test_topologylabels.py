from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.resources import NODES, PODS

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


@pytest.fixture(autouse=True)
async def node(api: Any) -> None:
    labels = {ZONE: "z1", REGION: "r1", "other": "x"}
    await api.create(NODES, {"metadata": {"name": "n1", "labels": labels}})
    await api.create(NODES, {"metadata": {"name": "bare"}})


async def bound(api: Any, pod: Obj, node: str) -> Obj:
    name = (await api.create(PODS, pod))["metadata"]["name"]
    body = {"metadata": {"name": name}, "target": {"name": node}}
    await api.call("create", PODS, name, body, sub="binding")
    return await api.call("get", PODS, name)


async def test_a_bound_pod_has_the_zone_and_region_of_its_node(api: Any, pod: Any) -> None:
    body = pod("a")
    body["metadata"]["labels"] = {"app": "web", ZONE: "elsewhere"}
    found = await bound(api, body, "n1")
    assert found["metadata"]["labels"] == {"app": "web", ZONE: "z1", REGION: "r1"}


async def test_a_node_without_them_gives_none(api: Any, pod: Any) -> None:
    before = pod("a")["metadata"].get("labels")
    assert (await bound(api, pod("a"), "bare"))["metadata"].get("labels") == before
    assert (await bound(api, pod("b"), "nobody"))["metadata"].get("labels") == before


async def test_a_pod_that_names_its_node_has_them_from_the_beginning(api: Any, pod: Any) -> None:
    body = pod("a")
    body["spec"]["nodeName"] = "n1"
    labels = (await api.create(PODS, body))["metadata"]["labels"]
    assert (labels[ZONE], labels[REGION]) == ("z1", "r1")
    change = {"metadata": {"labels": {ZONE: None}}}
    changed = await api.call("patch", PODS, "a", change)
    assert ZONE not in changed["metadata"]["labels"]
