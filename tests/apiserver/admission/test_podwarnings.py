from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.api.request import MERGE_PATCH, Request, UserInfo
from sampan.api.resources import DEPLOYMENTS, PODS, Resource

TWICE = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]


@pytest.fixture
def written(api):
    async def write(verb: str, kind: Resource, body: Obj) -> list[str]:
        name = "" if verb == "create" else body["metadata"]["name"]
        request = Request(verb, kind, "default", name, body=body, content_type=MERGE_PATCH)
        _, call = await api.server.dispatcher.perform(UserInfo("t", ("system:authenticated",)), request)
        return call.warnings

    return write


async def test_pods_are_warned_of_once(written, pod) -> None:
    body: dict[str, Any] = pod("a")
    body["spec"]["containers"][0]["env"] = TWICE
    (line,) = await written("create", PODS, body)
    assert line.startswith('spec.containers[0].env[1]: hides previous definition of "A"')
    assert await written("patch", PODS, {"metadata": {"name": "a", "labels": {"x": "y"}}}) == []


async def test_templates_are_warned_of_when_they_change(written, pod) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    template["spec"]["containers"][0]["env"] = TWICE
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    (line,) = await written("create", DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec})
    assert line.startswith("spec.template.spec.containers[0].env[1]: ")
    assert await written("patch", DEPLOYMENTS, {"metadata": {"name": "d", "labels": {"x": "y"}}}) == []
    assert (
        len(await written("patch", DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": {"paused": True}})) == 1
    )
