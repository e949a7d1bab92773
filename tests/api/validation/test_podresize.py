"""What a resize may change."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj, mutable
from sampan.api.validation.podresize import resize, resized

OLD: Obj = {
    "metadata": {"name": "p", "namespace": "default"},
    "spec": {
        "containers": [
            {
                "name": "c",
                "image": "i",
                "imagePullPolicy": "Always",
                "terminationMessagePolicy": "File",
                "resources": {"requests": {"cpu": "100m", "ephemeral-storage": "1Gi"}},
            }
        ],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        "serviceAccountName": "default",
    },
    "status": {"qosClass": "Burstable"},
}


def changed(old: Obj = OLD, **resources: Any) -> Obj:
    new = mutable(old)
    new["spec"]["containers"][0]["resources"] |= resources
    return new


def said(new: Obj, old: Obj = OLD) -> list[str]:
    return [f"{error.field}: {error.message}" for error in resize(new, old)]


def asking(cpu: str, disk: str = "1Gi") -> Obj:
    return {"cpu": cpu, "ephemeral-storage": disk}


def test_cpu_and_memory_may() -> None:
    assert said(changed(requests={**asking("200m"), "memory": "1Gi"}, limits={"cpu": "1"})) == []


def test_nothing_else_does() -> None:
    assert said(changed(requests=asking("200m", "2Gi"))) == [
        "spec: Forbidden: only cpu and memory resources are mutable: spec.containers[0].resources"
    ]
    new = changed(requests=asking("200m"))
    new["spec"]["containers"][0]["image"] = "other"
    new["spec"]["hostNetwork"] = True
    spec = resized(new, OLD)
    assert "hostNetwork" not in spec and spec["containers"][0]["image"] == "i"
    assert spec["containers"][0]["resources"]["requests"]["cpu"] == "200m"


def test_nothing_is_taken_away() -> None:
    assert said(changed(requests={"ephemeral-storage": "1Gi"}))[-1] == (
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"
    )


def test_the_class_stays() -> None:
    limits = {"cpu": "100m", "memory": "1Gi"}
    new = changed(requests={**limits, "ephemeral-storage": "1Gi"}, limits=limits)
    words = "Pod QOS Class may not change as a result of resizing"
    assert said(new) == [f'spec: Invalid value: "Guaranteed": {words}']


def test_bad_amounts_are_told_as_ever() -> None:
    (only,) = said(changed(requests=asking("2"), limits={"cpu": "1"}))
    assert only.endswith("must be less than or equal to cpu limit of 1")


def test_init_containers_have_run() -> None:
    init = {**OLD["spec"]["containers"][0], "name": "init"}
    old = mutable(OLD)
    old["spec"]["initContainers"] = [init]
    new = mutable(old)
    new["spec"]["initContainers"][0]["resources"]["requests"]["cpu"] = "1"
    words = "resources for non-sidecar init containers are immutable"
    assert said(new, old) == [f"spec.initContainers[0].resources: Forbidden: {words}"]
    for pod in (old, new):
        pod["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    assert said(new, old) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}, "static pods"),
        ({"spec": {**OLD["spec"], "os": {"name": "windows"}}}, "windows pods"),
        ({"spec": {**OLD["spec"], "resources": {"requests": {"cpu": "1"}}}}, "pods with pod-level resources"),
    ],
)
def test_pods_that_cannot(change: Obj, words: str) -> None:
    old = {**OLD, **change}
    assert said(changed(old), old) == [f": Forbidden: {words} cannot be resized"]


def test_the_containers_are_the_same_ones() -> None:
    new = changed()
    new["spec"]["containers"][0]["name"] = "d"
    new["spec"] = resized(new, OLD)
    assert said(new) == ["spec.containers: Forbidden: containers may not be renamed or reordered on resize"]
    new["spec"]["containers"] *= 2
    assert said(new) == ["spec.containers: Forbidden: containers may not be added or removed on resize"]
