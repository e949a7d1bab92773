"""What a namespace's LimitRanges add and refuse, asked of a running server."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.quota import CLAIMS
from sampan.api.resources import PODS
from sampan.apiserver.admission.limitranger import LIMIT_RANGES


def limits(*listed: Obj) -> Obj:
    return {"metadata": {"name": "l"}, "spec": {"limits": list(listed)}}


def sized(pod: Obj, requests: Obj | None = None, limits: Obj | None = None) -> Obj:
    pod["spec"]["containers"][0]["resources"] = {"requests": requests or {}, "limits": limits or {}}
    return pod


async def refusal(api: Any, body: Obj, resource: Any = PODS) -> str:
    with pytest.raises(StatusError) as caught:
        await api.create(resource, body)
    assert caught.value.code == 403
    return caught.value.message.partition(" is forbidden: ")[2]


async def test_defaults_are_filled_in_and_told(api, pod) -> None:
    default = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}
    await api.create(LIMIT_RANGES, limits(default))
    made = await api.create(PODS, pod("a"))
    container = made["spec"]["containers"][0]
    assert container["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}
    name = container["name"]
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        f"LimitRanger plugin set: cpu request for container {name}; cpu limit for container {name}"
    )
    assert made["status"]["qosClass"] == "Burstable", "the class follows from what was filled in"


async def test_a_limit_of_ones_own_is_the_request_too(api, pod) -> None:
    default = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}}
    await api.create(LIMIT_RANGES, limits(default))
    made = await api.create(PODS, sized(pod("a"), limits={"cpu": "300m"}))
    given = made["spec"]["containers"][0]["resources"]
    assert given == {"requests": {"cpu": "300m"}, "limits": {"cpu": "300m"}}


async def test_bounds_of_containers(api, pod) -> None:
    bound = {
        "type": "Container",
        "min": {"cpu": "50m"},
        "max": {"cpu": "1"},
        "maxLimitRequestRatio": {"cpu": "2"},
    }
    await api.create(LIMIT_RANGES, limits(bound))
    small = sized(pod("a"), {"cpu": "10m"}, {"cpu": "20m"})
    assert await refusal(api, small) == "minimum cpu usage per Container is 50m, but request is 10m"
    big = sized(pod("a"), {"cpu": "1"}, {"cpu": "2"})
    assert await refusal(api, big) == "maximum cpu usage per Container is 1, but limit is 2"
    wide = sized(pod("a"), {"cpu": "100m"}, {"cpu": "300m"})
    said = "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"
    assert await refusal(api, wide) == said
    await api.create(PODS, sized(pod("a"), {"cpu": "100m"}, {"cpu": "200m"}))


async def test_bounds_of_pods_and_several_breaches(api, pod) -> None:
    bound = {"type": "Pod", "max": {"memory": "64Mi"}, "min": {"cpu": "1"}}
    await api.create(LIMIT_RANGES, limits(bound))
    assert await refusal(api, sized(pod("a"), {"cpu": "1"})) == (
        "maximum memory usage per Pod is 64Mi.  No limit is specified"
    )
    assert await refusal(api, sized(pod("a"), limits={"memory": "65Mi"})) == (
        "[minimum cpu usage per Pod is 1.  No request is specified, "
        "maximum memory usage per Pod is 64Mi, but limit is 65Mi]"
    )


async def test_bounds_of_claims(api) -> None:
    bound = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    await api.create(LIMIT_RANGES, limits(bound))

    def claim(size: str) -> Obj:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec}

    words = "{}imum storage usage per PersistentVolumeClaim is {}Gi, but request is {}Gi"
    assert await refusal(api, claim("3Gi"), CLAIMS) == words.format("max", 2, 3)
    assert (await refusal(api, claim("512Mi"), CLAIMS)).startswith("minimum storage usage")
    await api.create(CLAIMS, claim("1Gi"))
