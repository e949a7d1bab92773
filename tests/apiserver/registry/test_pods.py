from __future__ import annotations

from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import PODS


async def refused(awaitable: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await awaitable
    return caught.value


def binding(name: str, node: str = "n1") -> dict[str, Any]:
    return {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}


async def test_a_new_pod_is_pending_and_knows_its_class(api, pod) -> None:
    made = await api.create(PODS, {**pod("a"), "status": {"phase": "Running"}})
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


async def test_a_gated_pod_says_why_it_waits(api, pod) -> None:
    body = pod("a")
    body["spec"]["schedulingGates"] = [{"name": "example.com/gate"}]
    (condition,) = (await api.create(PODS, body))["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "SchedulingGated",
    )


async def test_binding_sets_node_and_condition_in_one_step(api, pod) -> None:
    made = await api.create(PODS, pod("a"))
    answer = await api.call("create", PODS, "a", binding("a"), sub="binding")
    assert answer["status"] == "Success"
    bound = await api.call("get", PODS, "a")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    assert int(bound["metadata"]["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1


async def test_a_pod_is_bound_once(api, pod) -> None:
    await api.create(PODS, pod("a"))
    await api.call("create", PODS, "a", binding("a"), sub="binding")
    error = await refused(api.call("create", PODS, "a", binding("a", "n2"), sub="binding"))
    assert error.code == 409
    assert 'pod a is already assigned to node "n1"' in error.message


async def test_a_pod_that_goes_is_not_bound(api, pod) -> None:
    await api.create(PODS, pod("a", finalizers=["x.io/hold"]))
    await api.call("delete", PODS, "a")
    error = await refused(api.call("create", PODS, "a", binding("a"), sub="binding"))
    assert "pod a is being deleted, cannot be assigned to a host" in error.message


async def test_a_running_pod_gets_its_grace(api, pod) -> None:
    await api.create(PODS, pod("a", "n1"))
    marked = await api.call("delete", PODS, "a")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = await api.call("delete", PODS, "a", {"gracePeriodSeconds": 5})
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert shorter["metadata"]["deletionTimestamp"] < marked["metadata"]["deletionTimestamp"]
    longer = await api.call("delete", PODS, "a", {"gracePeriodSeconds": 60})
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 5
    gone = await api.call("delete", PODS, "a", {"gracePeriodSeconds": 0})
    assert gone["kind"] == "Pod"
    assert (await refused(api.call("get", PODS, "a"))).code == 404


async def test_a_pod_that_no_node_runs_goes_at_once(api, pod) -> None:
    await api.create(PODS, pod("waiting"))
    await api.call("delete", PODS, "waiting")
    await api.create(PODS, pod("done", "n1"))
    await api.call("patch", PODS, "done", {"status": {"phase": "Succeeded"}}, sub="status")
    await api.call("delete", PODS, "done")
    assert (await api.call("list", PODS))["items"] == []


async def test_a_finalizer_outlives_the_grace(api, pod) -> None:
    await api.create(PODS, pod("a", "n1", finalizers=["x.io/hold"]))
    await api.call("delete", PODS, "a")
    await api.call("delete", PODS, "a", {"gracePeriodSeconds": 0})
    held = await api.call("get", PODS, "a")
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    await api.call("patch", PODS, "a", {"metadata": {"finalizers": []}})
    assert (await refused(api.call("get", PODS, "a"))).code == 404


async def test_status_cannot_change_owners_nor_class(api, pod) -> None:
    await api.create(PODS, pod("a"))
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    body = {
        "metadata": {"ownerReferences": [owner]},
        "status": {"phase": "Running", "qosClass": "Guaranteed"},
    }
    seen = await api.call("patch", PODS, "a", body, sub="status")
    assert "ownerReferences" not in seen["metadata"]
    assert seen["status"] == {"phase": "Running", "qosClass": "BestEffort"}


async def test_the_spec_of_a_pod_is_fixed(api, pod) -> None:
    await api.create(PODS, pod("a"))
    error = await refused(api.call("patch", PODS, "a", {"spec": {"hostNetwork": True}}))
    assert error.code == 422 and "pod updates may not change fields other than" in error.message
