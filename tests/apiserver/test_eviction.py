"""Evictions, asked of a running server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import PODS
from sampan.apiserver.eviction import BUDGETS

READY = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]


async def running(api: Any, pod: Any, name: str, *, ready: bool = True) -> None:
    body = pod(name)
    body["metadata"]["labels"] = {"app": "web"}
    body["spec"]["nodeName"] = "n1"
    await api.create(PODS, body)
    status = {"phase": "Running", "conditions": READY if ready else []}
    await api.call("patch", PODS, name, {"status": status}, sub="status")


async def budget(api: Any, name: str = "b", *, policy: str = "", **status: Any) -> None:
    spec: Obj = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 1}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    await api.create(BUDGETS, {"metadata": {"name": name}, "spec": spec})
    await told(api, name, **status)


async def told(api: Any, name: str = "b", **status: Any) -> None:
    """What the budget's controller would say."""
    counted = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 2}
    change = {"status": {**counted, "observedGeneration": 1, **status}}
    await api.call("patch", BUDGETS, name, change, sub="status")


async def evict(api: Any, name: str, **body: Any) -> Obj:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, **body}
    return await api.call("create", PODS, name, eviction, sub="eviction")


async def refused(api: Any, name: str, **body: Any) -> Obj:
    with pytest.raises(StatusError) as caught:
        await evict(api, name, **body)
    return caught.value.status


async def test_without_a_budget_it_is_a_delete_that_says_why(api, pod) -> None:
    await running(api, pod, "a")
    assert (await evict(api, "a"))["status"] == "Success"
    left = await api.call("get", PODS, "a")
    assert left["metadata"]["deletionGracePeriodSeconds"] == 30
    target = next(each for each in left["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert (target["reason"], target["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")


async def test_delete_options_are_kept(api, pod) -> None:
    await running(api, pod, "a")
    wrong = {"preconditions": {"uid": "another"}}
    assert (await refused(api, "a", deleteOptions=wrong))["code"] == 409
    assert "DisruptionTarget" not in str(await api.call("get", PODS, "a"))
    await evict(api, "a", deleteOptions={"dryRun": ["All"]})
    assert "deletionTimestamp" not in (await api.call("get", PODS, "a"))["metadata"]
    await evict(api, "a", deleteOptions={"gracePeriodSeconds": 0})
    assert (await refused(api, "a"))["code"] == 404


async def test_a_used_up_budget_says_no_and_why(api, pod) -> None:
    await running(api, pod, "a")
    await budget(api)
    status = await refused(api, "a")
    assert (status["code"], status["reason"]) == (429, "TooManyRequests")
    assert status["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    why = "The disruption budget b needs 1 healthy pods and has 1 currently"
    assert status["details"] == {"causes": [{"reason": "DisruptionBudget", "message": why}]}


async def test_of_many_at_once_no_more_go_than_it_allows(api, pod) -> None:
    names = [f"p{number}" for number in range(6)]
    for name in names:
        await running(api, pod, name)
    await budget(api, disruptionsAllowed=2)
    answers = await asyncio.gather(*(evict(api, name) for name in names), return_exceptions=True)
    assert sum(isinstance(answer, dict) for answer in answers) == 2
    status = (await api.call("get", BUDGETS, "b"))["status"]
    assert status["disruptionsAllowed"] == 0 and len(status["disruptedPods"]) == 2


async def test_trying_takes_nothing(api, pod) -> None:
    await running(api, pod, "a")
    await budget(api, disruptionsAllowed=1)
    await evict(api, "a", deleteOptions={"dryRun": ["All"]})
    assert (await api.call("get", BUDGETS, "b"))["status"]["disruptionsAllowed"] == 1


async def test_a_budget_that_is_not_yet_counted_is_waited_for(api, pod) -> None:
    await running(api, pod, "a")
    await budget(api, disruptionsAllowed=1, observedGeneration=0)
    status = await refused(api, "a")
    assert status["details"]["retryAfterSeconds"] == 10
    assert "is still being processed by the server" in status["details"]["causes"][0]["message"]


async def test_the_unhealthy_go_when_the_others_are_enough(api, pod) -> None:
    await running(api, pod, "a", ready=False)
    await running(api, pod, "b", ready=False)
    await budget(api, currentHealthy=0)
    assert (await refused(api, "a"))["code"] == 429
    await told(api, currentHealthy=1)
    await evict(api, "a")
    await told(api, currentHealthy=0)
    await api.call("patch", BUDGETS, "b", {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}})
    await evict(api, "b")


async def test_a_pod_that_serves_nobody_needs_no_budget(api, pod) -> None:
    body = pod("a")
    body["metadata"]["labels"] = {"app": "web"}
    await api.create(PODS, body)
    await budget(api)
    await evict(api, "a")


async def test_two_budgets_are_one_too_many(api, pod) -> None:
    await running(api, pod, "a")
    await budget(api, "b")
    await budget(api, "c")
    status = await refused(api, "a")
    assert status["code"] == 500
    assert status["message"].startswith("This pod has more than one PodDisruptionBudget")


async def test_names_have_to_agree(api, pod) -> None:
    await running(api, pod, "a")
    assert (await refused(api, "a", metadata={"name": "b"}))["code"] == 400
