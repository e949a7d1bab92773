from __future__ import annotations

from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.podsecurity.configuration import PodSecurityConfig
from sampan.api.podsecurity.policy import PREFIX, LevelVersion, Policy
from sampan.api.request import STRATEGIC_MERGE_PATCH, Request, UserInfo
from sampan.api.resources import DEPLOYMENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS, Resource, resource
from sampan.apiserver.admission.podsecurity import PodSecurity
from sampan.apiserver.registry.hooks import Call

ROOT = {"securityContext": {"privileged": True}}


@pytest.fixture
def namespace(api):
    async def make(**labels: str) -> str:
        marked = {PREFIX + mode.replace("_", "-"): level for mode, level in labels.items()}
        await api.create(NAMESPACES, {"metadata": {"name": "t", "labels": marked}})
        await api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace="t")
        return "t"

    return make


async def written(api, kind: Resource, body: Obj, *, verb: str = "create", namespace: str = "t") -> list[str]:
    """The warnings of a write."""
    name = "" if verb == "create" else body["metadata"]["name"]
    scope = namespace if kind.namespaced else ""
    request = Request(verb, kind, scope, name, body=body, content_type=STRATEGIC_MERGE_PATCH)
    _, call = await api.server.dispatcher.perform(UserInfo("tester", ("system:authenticated",)), request)
    return call.warnings


async def test_the_enforced_level_refuses(api, pod, namespace) -> None:
    await namespace(enforce="baseline", warn="restricted")
    bad = pod("a")
    bad["spec"]["containers"][0] |= ROOT
    with pytest.raises(StatusError) as caught:
        await written(api, PODS, bad)
    assert caught.value.code == 403
    assert caught.value.message == (
        'pods "a" is forbidden: violates PodSecurity "baseline:latest": privileged '
        '(container "c" must not set securityContext.privileged=true)'
    )


async def test_the_warned_level_warns(api, pod, namespace) -> None:
    await namespace(warn="baseline", warn_version="v1.24")
    bad = pod("a")
    bad["spec"]["hostNetwork"] = True
    assert await written(api, PODS, bad) == [
        'would violate PodSecurity "baseline:v1.24": host namespaces (hostNetwork=true)'
    ]
    assert await written(api, PODS, pod("b")) == []


async def test_workloads_are_warned_of_and_made(api, pod, namespace) -> None:
    await namespace(enforce="baseline", warn="baseline")
    spec = pod("x")["spec"] | {"hostPID": True}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    body = {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    expected = ['would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)']
    assert await written(api, DEPLOYMENTS, body) == expected
    job = {"template": {"spec": {**spec, "restartPolicy": "Never"}}}
    cron = {"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}}}
    assert await written(api, resource("batch", "v1", "cronjobs"), cron) == expected
    kept = {"metadata": {"name": "p"}, "template": template}
    assert await written(api, resource("", "v1", "podtemplates"), kept) == expected


async def test_only_changes_that_matter_are_looked_at(api, pod, namespace) -> None:
    await namespace()
    bad = pod("a")
    bad["spec"]["hostNetwork"] = True
    await api.create(PODS, bad, namespace="t")
    strict = {"metadata": {"name": "t", "labels": {PREFIX + "enforce": "baseline"}}}
    await written(api, NAMESPACES, strict, verb="patch")
    await written(api, PODS, {"metadata": {"name": "a", "labels": {"x": "y"}}}, verb="patch")
    image = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "redis"}]}}
    with pytest.raises(StatusError) as caught:
        await written(api, PODS, image, verb="patch")
    assert "violates PodSecurity" in caught.value.message


async def test_a_stricter_namespace_names_the_pods_that_break_it(api, pod, namespace) -> None:
    await namespace()
    for name in ("b", "a", "c"):
        bad = pod(name)
        bad["spec"]["hostNetwork"] = True
        if name == "c":
            bad["spec"]["containers"][0] |= ROOT
        await api.create(PODS, bad, namespace="t")

    async def raised(**labels: str) -> list[str]:
        marked = {PREFIX + mode: level for mode, level in labels.items()}
        return await written(api, NAMESPACES, {"metadata": {"name": "t", "labels": marked}}, verb="patch")

    assert await raised(warn="restricted") == []
    assert await raised(enforce="baseline") == [
        'existing pods in namespace "t" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 1 other pod): host namespaces",
        "c: host namespaces, privileged",
    ]
    assert await raised(enforce="privileged") == []


@pytest.mark.parametrize("label", ["enforce", "warn", "audit"])
async def test_a_label_nobody_knows_is_refused(api, namespace, label) -> None:
    with pytest.raises(StatusError) as caught:
        await namespace(**{label: "strict"})
    assert caught.value.code == 422
    assert caught.value.message == (
        f'Namespace "t" is invalid: metadata.labels[{PREFIX}{label}]: Invalid value: "strict": '
        "must be one of privileged, baseline, restricted"
    )


@pytest.mark.parametrize(
    "exempt",
    [
        {"users": frozenset({"tester"})},
        {"namespaces": frozenset({"t"})},
        {"runtime_classes": frozenset({"k"})},
    ],
)
async def test_exemptions(api, exempt: dict[str, Any]) -> None:
    strict = Policy(LevelVersion("baseline"), warn=LevelVersion("restricted"))
    bad = {"metadata": {"name": "a"}, "spec": {"hostPID": True, "runtimeClassName": "k", "containers": []}}
    request = Request("create", PODS, "t")
    call = Call(UserInfo("tester"), request, api.server.hub)
    await PodSecurity(api.server.hub, PodSecurityConfig(strict, **exempt)).validate(call, bad, None)
    assert call.warnings == []
    with pytest.raises(StatusError):
        await PodSecurity(api.server.hub, PodSecurityConfig(strict)).validate(call, bad, None)


async def test_ephemeral_containers_are_looked_at(api) -> None:
    plugin = PodSecurity(api.server.hub, PodSecurityConfig(Policy(LevelVersion("baseline"))))
    call = Call(UserInfo("tester"), Request("update", PODS, "t", "a", "ephemeralcontainers"), api.server.hub)
    old = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    new = {**old, "spec": {**old["spec"], "ephemeralContainers": [{"name": "e", "image": "i", **ROOT}]}}
    assert plugin.concerns(call, old)
    with pytest.raises(StatusError) as caught:
        await plugin.validate(call, new, old)
    assert 'privileged (container "e" must not set' in caught.value.message
