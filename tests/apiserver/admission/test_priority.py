from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import PODS, PRIORITY_CLASSES


async def test_priority_comes_from_the_class(api, pod) -> None:
    await api.create(PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 1000})
    body = pod("a")
    body["spec"]["priorityClassName"] = "high"
    assert (await api.create(PODS, body))["spec"]["priority"] == 1000
    assert (await api.create(PODS, pod("b")))["spec"]["priority"] == 0
    body = pod("c")
    body["spec"]["priorityClassName"] = "none"
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert caught.value.message == 'pods "c" is forbidden: no PriorityClass with name none was found'
    body["metadata"] = {"generateName": "web-"}
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert caught.value.message == 'pods "web-" is forbidden: no PriorityClass with name none was found'


async def test_policies_come_from_the_class_as_well(api, pod) -> None:
    body = {"metadata": {"name": "kind"}, "value": 5, "preemptionPolicy": "Never"}
    await api.create(PRIORITY_CLASSES, body)
    made = pod("a")
    made["spec"]["priorityClassName"] = "kind"
    assert (await api.create(PODS, made))["spec"]["preemptionPolicy"] == "Never"
    made = pod("b")
    made["spec"]["preemptionPolicy"] = "Never"
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, made)
    assert (
        "the string value of PreemptionPolicy (Never) must not be provided in pod spec"
        in caught.value.message
    )


async def test_one_class_is_the_default(api, pod) -> None:
    await api.create(PRIORITY_CLASSES, {"metadata": {"name": "a"}, "value": 7, "globalDefault": True})
    assert (await api.create(PODS, pod("a")))["spec"]["priorityClassName"] == "a"
    with pytest.raises(StatusError) as caught:
        await api.create(PRIORITY_CLASSES, {"metadata": {"name": "b"}, "value": 8, "globalDefault": True})
    assert caught.value.message == (
        'priorityclasses.scheduling.k8s.io "b" is forbidden: PriorityClass a is already marked as default. '
        "Only one default can exist"
    )
    await api.call("patch", PRIORITY_CLASSES, "a", {"description": "still"})


async def test_a_manifest_applied_again_keeps_what_admission_gave(api, pod) -> None:
    made = await api.create(PODS, pod("a"))
    again = {
        **made,
        "spec": {k: v for k, v in made["spec"].items() if k not in ("priority", "preemptionPolicy")},
    }
    again["metadata"] = {"name": "a", "labels": {"x": "y"}}
    assert (await api.call("update", PODS, "a", again))["spec"]["priority"] == 0
