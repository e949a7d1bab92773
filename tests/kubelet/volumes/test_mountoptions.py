"""How a container sees a volume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sampan.kubelet.runtime.contract import PLAIN, Features, Mount
from sampan.kubelet.runtime.mounts import MountPoint
from sampan.kubelet.volumes.contract import Mounted, VolumeFault
from sampan.kubelet.volumes.mountoptions import check_propagation, container_mount

Fields = dict[str, Any]
BASE = {"name": "v", "mountPath": "/v"}
ABLE = Features(recursive_read_only=True)
RO = {"readOnly": True}


@pytest.mark.parametrize(
    ("asked", "mounted", "features", "expected"),
    [
        ({}, Mounted("/s"), ABLE, {}),
        ({"mountPath": "v/w"}, Mounted("/s"), ABLE, {"target": "/v/w"}),
        (RO, Mounted("/s"), ABLE, {"read_only": True}),
        ({}, Mounted("/s", read_only=True), ABLE, {"read_only": True}),
        ({}, Mounted("/s", no_exec=True), ABLE, {"no_exec": True}),
        ({"mountPropagation": "None"}, Mounted("/s"), ABLE, {}),
        ({"mountPropagation": "HostToContainer"}, Mounted("/s"), ABLE, {"propagation": "rslave"}),
        ({"mountPropagation": "Bidirectional"}, Mounted("/s"), ABLE, {"propagation": "rshared"}),
        (RO | {"recursiveReadOnly": "Disabled"}, Mounted("/s"), ABLE, {"read_only": True}),
        (RO | {"recursiveReadOnly": "IfPossible"}, Mounted("/s"), PLAIN, {"read_only": True}),
        (
            RO | {"recursiveReadOnly": "IfPossible"},
            Mounted("/s"),
            ABLE,
            {"read_only": True, "recursive_read_only": True},
        ),
        (
            RO | {"recursiveReadOnly": "Enabled"},
            Mounted("/s"),
            ABLE,
            {"read_only": True, "recursive_read_only": True},
        ),
    ],
)
def test_options(
    asked: dict[str, Any], mounted: Mounted, features: Features, expected: dict[str, Any]
) -> None:
    made = container_mount(BASE | asked, mounted, "/s", features)
    assert made == replace(Mount("/s", "/v"), **expected)


def test_recursive_read_only_that_cannot_be() -> None:
    with pytest.raises(VolumeFault, match="the runtime does not support it"):
        container_mount(BASE | RO | {"recursiveReadOnly": "Enabled"}, Mounted("/s"), "/s", PLAIN)


def point(target: str, *, shared: bool) -> MountPoint:
    return MountPoint(target, "ext4", "/dev/vda", shared, "rw", "rw")


@pytest.mark.parametrize(
    ("points", "complaint"),
    [
        ([point("/", shared=True)], ""),
        ([point("/", shared=False), point("/s", shared=True)], ""),
        ([point("/", shared=False), point("/s/v", shared=True)], ""),
        ([point("/", shared=False), point("/s/vv", shared=True)], "path /s/v is mounted on / but"),
        ([point("/", shared=True), point("/s", shared=False)], "path /s/v is mounted on /s but"),
        ([point("/s", shared=True), point("/s", shared=False)], "path /s/v is mounted on /s but"),
    ],
)
def test_only_shared_mounts_propagate(points: list[MountPoint], complaint: str) -> None:
    mount = Mount("/s/v", "/v", propagation="rshared")
    if not complaint:
        check_propagation("v", mount, points)
        return
    with pytest.raises(VolumeFault) as caught:
        check_propagation("v", mount, points)
    assert caught.value.message == f"{complaint} it is not a shared mount"
