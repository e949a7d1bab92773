"""Each kind of volume: what upstream refuses, in its words."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.validation import volumesources

PARTITION = "must be between 0 and 255, inclusive"
ABSOLUTE = "must be an absolute path"
BACKSTEPS = "must not contain '..'"
NAME = {"apiVersion": "v1", "fieldPath": "metadata.name"}
RESERVED = "kubernetes.io and k8s.io namespaces are reserved"
MODE = "must be a number between 0 and 0777 (octal), both inclusive"
IQN = "iqn.2001-04.com.example:storage"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def complaints(kind: str, value: dict[str, Any]) -> list[str]:
    return [error.text for error in volumesources.source("v", kind, value)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("awsElasticBlockStore", {"volumeID": "d", "partition": 1}),
        ("azureDisk", {"diskName": "d", "diskURI": "https://x", "kind": "Shared", "cachingMode": "None"}),
        ("azureFile", {"secretName": "s", "shareName": "s"}),
        ("cephfs", {"monitors": ["m"]}),
        ("cinder", {"volumeID": "d", "secretRef": {"name": "s"}}),
        ("configMap", {"name": "c", "defaultMode": 0o400, "items": [{"key": "k", "path": "a/b", "mode": 0}]}),
        ("csi", {"driver": "CSI.example.com", "nodePublishSecretRef": {"name": "s"}}),
        ("downwardAPI", {"items": [{"path": "p", "fieldRef": NAME}]}),
        ("emptyDir", {"medium": "Memory", "sizeLimit": "1Mi"}),
        ("ephemeral", {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": CLAIM}}),
        ("fc", {"wwids": ["w"]}),
        ("flexVolume", {"driver": "d/e", "options": {"a": "b"}}),
        ("flocker", {"datasetName": "d"}),
        ("gcePersistentDisk", {"pdName": "d"}),
        ("gitRepo", {"repository": "r", "directory": "d"}),
        ("hostPath", {"path": "/p", "type": "Socket"}),
        ("image", {"reference": "busybox", "pullPolicy": "Never"}),
        ("iscsi", {"targetPortal": "1.2.3.4", "iqn": IQN, "lun": 255}),
        ("nfs", {"server": "s", "path": "/p"}),
        ("persistentVolumeClaim", {"claimName": "c"}),
        ("secret", {"secretName": "s"}),
    ],
)
def test_what_is_good(kind: str, value: dict[str, Any]) -> None:
    assert complaints(kind, value) == []


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("awsElasticBlockStore", {"partition": 256}, [f"partition: Invalid value: 256: {PARTITION}"]),
        ("azureDisk", {"diskURI": "https://x", "kind": "Shared"}, ["diskName: Required value"]),
        (
            "azureDisk",
            {"diskName": "d", "diskURI": "https://x", "kind": "Managed"},
            ['diskURI: Unsupported value: "https://x": supported values: "/subscriptions/'],
        ),
        (
            "azureDisk",
            {"diskName": "d", "diskURI": "/x", "kind": "Dedicated"},
            ['diskURI: Unsupported value: "/x": supported values: "https://'],
        ),
        (
            "azureDisk",
            {"diskName": "d", "diskURI": "https://x", "cachingMode": "Much", "kind": "Shared"},
            ['cachingMode: Unsupported value: "Much": supported values: "None", "ReadOnly", "ReadWrite"'],
        ),
        ("azureFile", {}, ["secretName: Required value", "shareName: Required value"]),
        ("cinder", {"volumeID": "d", "secretRef": {}}, ["secretRef.name: Required value"]),
        ("configMap", {}, ["name: Required value"]),
        ("configMap", {"name": "c", "defaultMode": 0o1000}, [f"defaultMode: Invalid value: 512: {MODE}"]),
        (
            "configMap",
            {"name": "c", "items": [{}]},
            ["items[0].key: Required value", "items[0].path: Required value"],
        ),
        (
            "configMap",
            {"name": "c", "items": [{"key": "k", "path": "/p", "mode": -1}]},
            [
                'items[0].path: Invalid value: "/p": must be a relative path',
                f"items[0].mode: Invalid value: -1: {MODE}",
            ],
        ),
        (
            "configMap",
            {"name": "c", "items": [{"key": "k", "path": "a/../b"}]},
            [f'items[0].path: Invalid value: "a/../b": {BACKSTEPS}'],
        ),
        (
            "secret",
            {"secretName": "s", "items": [{"key": "k", "path": "..data"}]},
            ["items[0].path: Invalid value: \"..data\": must not start with '..'"],
        ),
        ("secret", {}, ["secretName: Required value"]),
        ("csi", {}, ["driver: Required value"]),
        ("csi", {"driver": "d", "nodePublishSecretRef": {}}, ["nodePublishSecretRef.name: Required value"]),
        ("csi", {"driver": "a" * 64}, ["driver: Too long: may not be more than 63 bytes"]),
        (
            "downwardAPI",
            {"items": [{"path": "p"}]},
            [": Required value: one of fieldRef and resourceFieldRef"],
        ),
        (
            "downwardAPI",
            {"items": [{"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}]},
            ["path: Required value"],
        ),
        (
            "downwardAPI",
            {"items": [{"path": "p", "fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}]},
            ['fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: '],
        ),
        (
            "downwardAPI",
            {"items": [{"path": "p", "resourceFieldRef": {"resource": "limits.cpu"}}]},
            ["resourceFieldRef.containerName: Required value"],
        ),
        ("emptyDir", {"sizeLimit": "-1"}, ["sizeLimit: Forbidden: SizeLimit field must be a valid resource"]),
        ("ephemeral", {}, ["volumeClaimTemplate: Required value"]),
        (
            "ephemeral",
            {"volumeClaimTemplate": {"spec": {}}},
            [
                "volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
                "volumeClaimTemplate.spec.resources[storage]: Required value",
            ],
        ),
        (
            "ephemeral",
            {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": CLAIM}},
            ["volumeClaimTemplate.metadata.name: Forbidden: cannot be set"],
        ),
        ("fc", {}, ["targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]),
        ("fc", {"targetWWNs": ["w"]}, ["lun: Required value: lun is required if targetWWNs is specified"]),
        (
            "fc",
            {"targetWWNs": ["w"], "wwids": ["w"], "lun": 256},
            [
                'targetWWNs: Invalid value: ["w"]: targetWWNs and wwids can not be specified simultaneously',
                f"lun: Invalid value: 256: {PARTITION}",
            ],
        ),
        (
            "flexVolume",
            {"driver": "d", "options": {"k8s.io/x": "y"}},
            [f'options[k8s.io/x]: Invalid value: "k8s.io/x": {RESERVED}'],
        ),
        ("flocker", {}, [": Required value: one of datasetName and datasetUUID is required"]),
        ("gitRepo", {"directory": "../x"}, ["repository: Required value", "directory: Invalid value"]),
        ("hostPath", {}, ["path: Required value"]),
        ("hostPath", {"path": "/a/.."}, [f'path: Invalid value: "/a/..": {BACKSTEPS}']),
        (
            "hostPath",
            {"path": "/a", "type": "Nope"},
            ['type: Unsupported value: "Nope": supported values: "", "BlockDevice", "CharDevice", '],
        ),
        ("image", {}, ["reference: Required value"]),
        ("image", {"reference": "i", "pullPolicy": "Maybe"}, ['pullPolicy: Unsupported value: "Maybe"']),
        (
            "iscsi",
            {"iqn": "nope", "lun": 256},
            [
                "targetPortal: Required value",
                'iqn: Invalid value: "nope": must be valid format starting with iqn, eui, or naa',
                f"lun: Invalid value: 256: {PARTITION}",
            ],
        ),
        (
            "iscsi",
            {"targetPortal": "p", "iqn": "iqn.x", "chapAuthSession": True},
            ['iqn: Invalid value: "iqn.x": must be valid format', "secretRef: Required value"],
        ),
        ("nfs", {"server": "s", "path": "rel"}, [f'path: Invalid value: "rel": {ABSOLUTE}']),
        (
            "nfs",
            {},
            ["server: Required value", "path: Required value", f'path: Invalid value: "": {ABSOLUTE}'],
        ),
        ("persistentVolumeClaim", {}, ["claimName: Required value"]),
    ],
)
def test_what_is_not(kind: str, value: dict[str, Any], found: list[str]) -> None:
    texts = complaints(kind, value)
    wanted = [f"v{text}" if text.startswith(":") else f"v.{text}" for text in found]
    if kind == "awsElasticBlockStore":
        wanted.insert(0, "v.volumeID: Required value")
    assert len(texts) == len(wanted)
    for text, beginning in zip(texts, wanted, strict=True):
        assert text.startswith(beginning)
