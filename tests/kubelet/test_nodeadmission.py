"""Which Pods a node refuses, and in which words."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.nodeadmission import Rejection, rejection

LOCAL = {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}}}
ROOM = {"cpu": 2000, "memory": 1 << 30, "ephemeral-storage": 1 << 30, "pods": 3}
DISK = "ephemeral-storage"


def pod(**requests: str) -> Obj:
    named = {name.replace("_", "-"): text for name, text in requests.items()}
    return {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": named}}]},
    }


def test_it_fits() -> None:
    assert rejection(pod(cpu="1"), {"cpu": 1000, "pods": 1}, ROOM) is None
    assert rejection(pod(), {"cpu": 2000}, ROOM) is None, "who asks for nothing takes no room"


@pytest.mark.parametrize(
    ("asked", "used", "reason", "numbers"),
    [
        (pod(cpu="1"), {"cpu": 1500}, "cpu", (1000, 1500, 2000)),
        (pod(memory="2Gi"), {}, "memory", (2 << 30, 0, 1 << 30)),
        (
            pod(ephemeral_storage="1Gi"),
            {DISK: 1},
            "ephemeral-storage",
            (1 << 30, 1, 1 << 30),
        ),
        (pod(), {"pods": 3}, "pods", (1, 3, 3)),
    ],
)
def test_it_does_not_fit(asked: Obj, used: dict[str, int], reason: str, numbers: tuple[int, ...]) -> None:
    words = "Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}"
    assert rejection(asked, used, ROOM) == Rejection(f"OutOf{reason}", words.format(reason, *numbers))


def test_devices_that_the_node_knows_are_counted() -> None:
    asked = pod()
    asked["spec"]["containers"][0]["resources"] = {"requests": {"example.com/gpu": "2"}}
    assert rejection(asked, {}, ROOM) is None
    found = rejection(asked, {}, {**ROOM, "example.com/gpu": 1})
    assert found is not None and found.reason == "OutOfexample.com/gpu"


def test_under_pressure() -> None:
    words = "The node had condition: [{}]. "
    assert rejection(pod(), {}, ROOM, {"MemoryPressure"}) == Rejection(
        "Evicted", words.format("MemoryPressure")
    )
    assert rejection(pod(cpu="1"), {}, ROOM, {"MemoryPressure"}) is None
    assert rejection(pod(cpu="1"), {}, ROOM, {"DiskPressure"}) == Rejection(
        "Evicted", words.format("DiskPressure")
    )
    critical = pod()
    critical["spec"]["priority"] = 2_000_000_000
    assert rejection(critical, {}, ROOM, {"DiskPressure"}) is None
    tolerant = pod()
    tolerant["spec"]["tolerations"] = [{"operator": "Exists"}]
    assert rejection(tolerant, {}, ROOM, {"MemoryPressure"}) is None


def test_another_system() -> None:
    asked = pod()
    asked["spec"]["os"] = {"name": "windows"}
    found = rejection(asked, {}, ROOM)
    assert found is not None and found.reason == "PodOSNotSupported"


@pytest.mark.parametrize(
    ("spec", "apparmor", "refused"),
    [
        (
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            False,
            Rejection("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ),
        (
            LOCAL,
            False,
            Rejection("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        (LOCAL, True, None),
        ({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}, False, None),
    ],
)
def test_what_the_node_cannot_keep(spec, apparmor, refused) -> None:
    pod = {"metadata": {"name": "a", "namespace": "n", "uid": "u"}, "spec": {"containers": [], **spec}}
    assert rejection(pod, {}, {"pods": 1}, apparmor=apparmor) == refused
