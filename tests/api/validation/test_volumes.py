"""Volumes of a Pod, and how containers mount them."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.validation import volumes

Fields = dict[str, Any]
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def named(*specs: Fields) -> Fields:
    return {"volumes": [{"name": f"v{number}", **spec} for number, spec in enumerate(specs)]}


def complaints(spec: Fields) -> list[str]:
    return [error.text for error in volumes.volumes("v", spec)]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        (named({"emptyDir": {}}, {"hostPath": {"path": "/p"}}), []),
        (named({}), ["v[0]: Required value: must specify a volume type"]),
        (
            named({"emptyDir": {}, "hostPath": {"path": "/p"}}),
            ["v[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        ({"volumes": [{"emptyDir": {}}]}, ["v[0].name: Required value"]),
        (named({"emptyDir": {}}, {"emptyDir": {}, "name": "v0"}), ['v[1].name: Duplicate value: "v0"']),
        (
            named(
                {
                    "iscsi": {
                        "targetPortal": "p" * 70,
                        "iqn": "eui.0123456789abcdef",
                        "initiatorName": "iqn.2001-04.com.example:s",
                    }
                }
            ),
            [f'v[0].name: Invalid value: "v0": {volumes.ISCSI_TOO_LONG}'],
        ),
    ],
)
def test_volumes(spec: Fields, found: list[str]) -> None:
    assert complaints(spec) == found


def test_the_form_of_names() -> None:
    (text,) = complaints({"volumes": [{"name": "A_b", "emptyDir": {}}]})
    assert text.startswith('v[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of')


def test_claims_of_ephemeral_volumes_are_named_after_the_pod() -> None:
    spec = named({"ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}})
    assert list(volumes.claim_names("v", spec, "web")) == []
    (error,) = volumes.claim_names("v", spec, "w" * 252)
    assert error.text.startswith(
        f'v[0].name: Invalid value: "v0": PVC name "{"w" * 252}-v0": must be no more than'
    )


KNOWN = volumes.by_name(named({"emptyDir": {}}, {"persistentVolumeClaim": {"claimName": "c"}}, {"nfs": {}}))
AT = "c.volumeMounts"


def mounted(*mounts: Fields, devices: tuple[Fields, ...] = (), **more: Any) -> list[str]:
    container = {"volumeMounts": list(mounts), "volumeDevices": list(devices), **more}
    return [error.text for error in volumes.mounts("c", container, KNOWN)]


def at(point: str = "/m", name: str = "v0", **more: Any) -> Fields:
    return {"name": name, "mountPath": point, **more}


PRIVILEGED = {"securityContext": {"privileged": True}}
RO = {"readOnly": True}
UNPRIVILEGED = "Bidirectional mount propagation is available only to privileged containers"
CHOICES = 'supported values: "Bidirectional", "HostToContainer", "None"'


@pytest.mark.parametrize(
    ("mount", "found"),
    [
        (at(), []),
        (at(subPath="a/b"), []),
        (at(subPathExpr="$(A)"), []),
        (at(mountPropagation="HostToContainer"), []),
        (at(recursiveReadOnly="Enabled", **RO), []),
        (at(recursiveReadOnly="Disabled"), []),
        (
            {},
            [
                f"{AT}[0].name: Required value",
                f'{AT}[0].name: Not found: ""',
                f"{AT}[0].mountPath: Required value",
            ],
        ),
        (at(name="none"), [f'{AT}[0].name: Not found: "none"']),
        (at(name="v2"), [f'{AT}[0].name: Not found: "v2"']),
        (at(subPath="/a"), [f'{AT}.subPath: Invalid value: "/a": must be a relative path']),
        (at(subPath="a/.."), [f"{AT}.subPath: Invalid value: \"a/..\": must not contain '..'"]),
        (at(subPathExpr="../$(A)"), [f"{AT}.subPathExpr: Invalid value: \"../$(A)\": must not contain '..'"]),
        (
            at(subPath="a", subPathExpr="b"),
            [f'{AT}[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive'],
        ),
        (at(mountPropagation="Up"), [f'{AT}.mountPropagation: Unsupported value: "Up": {CHOICES}']),
        (at(mountPropagation="Bidirectional"), [f"{AT}.mountPropagation: Forbidden: {UNPRIVILEGED}"]),
        (
            at(recursiveReadOnly="IfPossible"),
            [f"{AT}.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
        ),
        (
            at(recursiveReadOnly="Enabled", mountPropagation="HostToContainer", **RO),
            [
                f"{AT}.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None "
                "or not specified"
            ],
        ),
        (
            at(recursiveReadOnly="Much", **RO),
            [
                f'{AT}.recursiveReadOnly: Unsupported value: "Much": '
                'supported values: "Disabled", "Enabled", "IfPossible"'
            ],
        ),
    ],
)
def test_mounts(mount: Fields, found: list[str]) -> None:
    assert mounted(mount) == found


def test_mounts_beside_each_other() -> None:
    assert mounted(at("/a"), at("/b")) == []
    assert mounted(at("/a"), at("/a", "v1")) == [f'{AT}[1].mountPath: Invalid value: "/a": must be unique']
    assert mounted(at(mountPropagation="Bidirectional"), **PRIVILEGED) == []


def device(point: str = "/dev/x", name: str = "v1") -> Fields:
    return {"name": name, "devicePath": point}


BLOCK = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
DEVICES = "c.volumeDevices"


@pytest.mark.parametrize(
    ("devices", "found"),
    [
        ([device()], []),
        ([device(name="v0")], [f'{DEVICES}[0].name: Invalid value: "v0": {BLOCK}']),
        ([device(name="none")], [f'{DEVICES}[0].name: Not found: "none"']),
        ([device("")], [f"{DEVICES}[0].devicePath: Required value"]),
        (
            [device("/dev/../x")],
            [f"{DEVICES}[0].devicePath: Invalid value: \"/dev/../x\": can not contain backsteps ('..')"],
        ),
        (
            [device(), device()],
            [
                f'{DEVICES}[1].name: Invalid value: "v1": must be unique',
                f'{DEVICES}[1].devicePath: Invalid value: "/dev/x": must be unique',
            ],
        ),
    ],
)
def test_devices(devices: list[Fields], found: list[str]) -> None:
    assert mounted(devices=tuple(devices)) == found


def test_a_volume_is_mounted_or_a_device() -> None:
    assert mounted(at("/dev/x", "v1"), devices=(device(),)) == [
        f'{AT}[0].name: Invalid value: "v1": must not already exist in volumeDevices',
        f'{AT}[0].mountPath: Invalid value: "/dev/x": must not already exist as a path in volumeDevices',
        f'{DEVICES}[0].name: Invalid value: "v1": must not already exist in volumeMounts',
        f'{DEVICES}[0].devicePath: Invalid value: "/dev/x": must not already exist as a path in volumeMounts',
    ]
