"""What a namespace may have in all, asked of a running server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.api import resources
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICE_ACCOUNTS, SERVICES, Resource
from sampan.apiserver.admission.resourcequota import RESOURCE_QUOTAS
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.store.memory import MemoryStore

CLAIMS = resources.resource("", "v1", "persistentvolumeclaims")


def quota(name: str = "q", **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": spec}


def sized(pod: Obj, requests: Obj | None = None, limits: Obj | None = None) -> Obj:
    pod["spec"]["containers"][0]["resources"] = {"requests": requests or {}, "limits": limits or {}}
    return pod


async def refusal(api, resource, body, **params) -> str:
    with pytest.raises(StatusError) as caught:
        await api.create(resource, body, **params)
    assert caught.value.code == 403
    return caught.value.message


async def test_what_is_there_counts_and_what_goes_is_free_again(api, pod) -> None:
    await api.create(PODS, pod("a"))
    await api.create(RESOURCE_QUOTAS, quota(hard={"pods": "2"}))
    await api.create(PODS, pod("b"))
    said = await refusal(api, PODS, pod("c"))
    why = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    assert said == f'pods "c" is forbidden: {why}'
    await api.call("delete", PODS, "a")
    await api.create(PODS, pod("c"))


async def test_many_at_once_never_get_more(api, pod) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"pods": "5", "requests.cpu": "300m"}))
    bodies = [sized(pod(f"p{number}"), {"cpu": "100m"}) for number in range(20)]
    answers = await asyncio.gather(*(api.create(PODS, body) for body in bodies), return_exceptions=True)
    assert sum(isinstance(answer, dict) for answer in answers) == 3
    faults = [str(answer) for answer in answers if not isinstance(answer, dict)]
    assert all("requests.cpu=100m, used: requests.cpu=300m, limited: requests.cpu=300m" in f for f in faults)


async def test_a_write_that_comes_to_nothing_takes_nothing(api, pod) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"pods": "2"}))
    await api.create(PODS, pod("a"), dryRun="All")
    await api.create(PODS, pod("a"))
    both = await asyncio.gather(*(api.create(PODS, pod("b")) for _ in range(2)), return_exceptions=True)
    assert sum(isinstance(answer, dict) for answer in both) == 1
    await api.call("delete", PODS, "b")
    await api.create(PODS, pod("b"))
    await refusal(api, PODS, pod("c"), dryRun="All")


async def test_containers_must_name_what_is_limited(api, pod) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"limits.cpu": "1", "requests.memory": "1Gi"}))
    why = "failed quota: q: must specify limits.cpu for: {0}; requests.memory for: {0}"
    body = pod("a")
    assert await refusal(api, PODS, body) == 'pods "a" is forbidden: ' + why.format(
        body["spec"]["containers"][0]["name"]
    )
    await api.create(PODS, sized(pod("a"), limits={"cpu": "1", "memory": "1Gi"}))


async def test_a_pod_that_has_ended_takes_no_room(api, pod) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"pods": "1"}))
    await api.create(PODS, pod("a"))
    await api.call("patch", PODS, "a", {"status": {"phase": "Succeeded"}}, sub="status")
    await api.create(PODS, pod("b"))


async def test_scopes(api, pod) -> None:
    await api.create(RESOURCE_QUOTAS, quota("best", hard={"pods": "1"}, scopes=["BestEffort"]))
    await api.create(PODS, pod("a"))
    assert "exceeded quota: best" in await refusal(api, PODS, pod("b"))
    await api.create(PODS, sized(pod("b"), {"cpu": "1"}))
    among = {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
    await api.create(
        RESOURCE_QUOTAS, quota("urgent", hard={"pods": "0"}, scopeSelector={"matchExpressions": [among]})
    )
    body = sized(pod("c"), {"cpu": "1"})
    body["spec"]["priorityClassName"] = "system-node-critical"
    assert "exceeded quota: urgent" in await refusal(api, PODS, body)


async def test_objects_are_counted_by_name(api) -> None:
    hard = {"configmaps": "1", "count/deployments.apps": "0"}
    await api.create(RESOURCE_QUOTAS, quota(hard=hard))
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert "configmaps=1" in await refusal(api, CONFIG_MAPS, {"metadata": {"name": "b"}})
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    assert "count/deployments.apps=1" in await refusal(api, DEPLOYMENTS, body)


async def test_a_service_may_not_grow_beyond_it(api) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"services": "5", "services.nodeports": "1"}))
    ports = [{"name": "a", "port": 80}]
    await api.create(SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": ports}})
    more = [*ports, {"name": "b", "port": 81}]
    with pytest.raises(StatusError, match=r"requested: services\.nodeports=2, used: services\.nodeports=0"):
        await api.call("patch", SERVICES, "s", {"spec": {"type": "NodePort", "ports": more}})
    await api.call("patch", SERVICES, "s", {"spec": {"type": "NodePort"}})


async def test_storage_by_class(api) -> None:
    hard = {"requests.storage": "3Gi", "fast.storageclass.storage.k8s.io/requests.storage": "1Gi"}
    await api.create(RESOURCE_QUOTAS, quota(hard=hard))

    def claim(name: str, size: str, kind: str) -> Obj:
        resources = {"requests": {"storage": size}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, "storageClassName": kind}
        return {"metadata": {"name": name}, "spec": spec}

    await api.create(CLAIMS, claim("a", "2Gi", "slow"))
    assert "fast.storageclass" in await refusal(api, CLAIMS, claim("b", "1.5Gi", "fast"))
    assert "requests.storage=3Gi" in await refusal(api, CLAIMS, claim("b", "2Gi", "slow"))
    await api.create(CLAIMS, claim("b", "1Gi", "fast"))


async def test_another_hard_limit_holds_at_once(api, pod) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"pods": "0"}))
    await refusal(api, PODS, pod("a"))
    await api.call("patch", RESOURCE_QUOTAS, "q", {"spec": {"hard": {"pods": "1"}}})
    await api.create(PODS, pod("a"))
    await api.call("delete", RESOURCE_QUOTAS, "q")
    await api.create(PODS, pod("b"))


async def test_a_resize_may_not_grow_beyond_it(api, pod) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"requests.cpu": "500m"}))
    made = await api.create(PODS, sized(pod("a"), {"cpu": "300m"}))
    name = made["spec"]["containers"][0]["name"]

    async def resize(cpu: str) -> Obj:
        container = {"name": name, "resources": {"requests": {"cpu": cpu}}}
        body = {"spec": {"containers": [container]}}
        strategic = "application/strategic-merge-patch+json"
        return await api.call("patch", PODS, "a", body, sub="resize", content_type=strategic)

    await resize("400m")
    with pytest.raises(StatusError) as caught:
        await resize("600m")
    why = (
        "exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=400m, limited: requests.cpu=500m"
    )
    assert caught.value.message == f'pods "a" is forbidden: {why}'
    await resize("100m")
    await api.create(PODS, sized(pod("b"), {"cpu": "400m"}))


async def test_a_kind_of_several_versions_is_counted_once(api) -> None:
    await api.create(RESOURCE_QUOTAS, quota(hard={"count/horizontalpodautoscalers.autoscaling": "1"}))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"scaleTargetRef": target, "maxReplicas": 2}
    for version, taken in (("v1", True), ("v2", False)):
        kind = resources.resource("autoscaling", version, "horizontalpodautoscalers")
        body = {"metadata": {"name": version}, "spec": spec}
        if taken:
            await api.create(kind, body)
        else:
            assert "exceeded quota" in await refusal(api, kind, body)


Steps = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["make", "end", "delete", "both"])), max_size=30
)


@settings(max_examples=20, deadline=None)
@given(steps=Steps)
async def test_never_more_than_allowed_whatever_comes_at_once(keys, steps) -> None:
    """Waves of writes that overtake each other: what there is never exceeds the quota, and when all has
    gone all of it may come again.
    """
    server = ApiServer(ServerConfig(pki_dir=keys), MemoryStore(), lambda name: None)
    await server.start()
    transport = server.transport(UserInfo("tester", ("system:authenticated",)))

    async def ask(verb: str, resource: Resource, name: str = "", body: Any = None, sub: str = "") -> Obj:
        request = Request(verb, resource, "default", name, sub, {}, body, "application/merge-patch+json")
        return await transport.call(request)

    def body(number: int) -> Obj:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
        return {"metadata": {"name": f"p{number}"}, "spec": {"containers": [container]}}

    async def act(number: int, what: str) -> None:
        if what in ("make", "both"):
            await ask("create", PODS, body=body(number))
        if what == "end":
            await ask("patch", PODS, f"p{number}", {"status": {"phase": "Failed"}}, "status")
        if what in ("delete", "both"):
            await ask("delete", PODS, f"p{number}")

    try:
        await ask("create", SERVICE_ACCOUNTS, body={"metadata": {"name": "default"}})
        await ask("create", RESOURCE_QUOTAS, body=quota(hard={"pods": "3", "requests.cpu": "250m"}))
        for start in range(0, len(steps), 6):
            wave = [act(*step) for step in steps[start : start + 6]]
            await asyncio.gather(*wave, return_exceptions=True)
            listed = (await ask("list", PODS))["items"]
            alive = [each for each in listed if each["status"]["phase"] != "Failed"]
            assert len(alive) <= 2, "250m have room for two Pods of 100m"
        for each in (await ask("list", PODS))["items"]:
            await ask("delete", PODS, each["metadata"]["name"])
        for number in range(2):
            await ask("create", PODS, body=body(number))
        with pytest.raises(StatusError, match=r"used: requests\.cpu=200m"):
            await ask("create", PODS, body=body(9))
    finally:
        await server.stop()
