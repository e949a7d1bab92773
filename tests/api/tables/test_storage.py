"""What `kubectl get` shows of volumes, claims and their classes."""

from typing import Any

import pytest

from harness.storage import bound_claim, claim, ref, storage_class, volume
from sampan.api import tables
from sampan.api.objects import Obj
from sampan.api.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    Resource,
    resource,
)

NOW = 1735689600.0  # 2025-01-01T00:00:00Z


def row(kind: Resource, obj: Obj) -> dict[str, Any]:
    obj["metadata"]["creationTimestamp"] = "2024-12-31T23:58:30Z"
    table = tables.table(kind, [obj], {}, "None", NOW)
    return dict(
        zip((column["name"] for column in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True)
    )


def test_a_volume() -> None:
    shown = volume(
        phase="Bound",
        claimRef=ref(),
        accessModes=["ReadWriteMany", "ReadWriteOnce", "ReadOnlyMany"],
        storageClassName="fast",
        volumeMode="Filesystem",
    )
    shown["status"]["reason"] = "Because"
    assert row(PERSISTENT_VOLUMES, shown) == {
        "Name": "v",
        "Capacity": "1Gi",
        "Access Modes": "RWO,ROX,RWX",
        "Reclaim Policy": "Retain",
        "Status": "Bound",
        "Claim": "default/data",
        "StorageClass": "fast",
        "VolumeAttributesClass": "<unset>",
        "Reason": "Because",
        "Age": "90s",
        "VolumeMode": "Filesystem",
    }
    shown["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert row(PERSISTENT_VOLUMES, shown)["Status"] == "Terminating"


def test_a_claim_shows_what_it_has_once_it_has_a_volume() -> None:
    waiting = claim(accessModes=["ReadWriteOncePod"], storageClassName="fast")
    shown = row(PERSISTENT_VOLUME_CLAIMS, waiting)
    assert [shown[name] for name in ("Status", "Volume", "Capacity", "Access Modes", "StorageClass")] == [
        "Pending",
        "",
        "",
        "",
        "fast",
    ]
    bound = bound_claim()
    bound["status"]["accessModes"] = ["ReadWriteOncePod"]
    shown = row(PERSISTENT_VOLUME_CLAIMS, bound)
    assert [shown[name] for name in ("Status", "Volume", "Capacity", "Access Modes", "StorageClass")] == [
        "Bound",
        "v",
        "1Gi",
        "RWOP",
        "",
    ]


@pytest.mark.parametrize("annotation", ["storageclass", "storageclass.beta"])
def test_the_default_class_is_marked(annotation: str) -> None:
    shown = storage_class("fast", allowVolumeExpansion=True)
    assert row(STORAGE_CLASSES, shown)["Name"] == "fast"
    shown["metadata"]["annotations"] = {f"{annotation}.kubernetes.io/is-default-class": "true"}
    assert row(STORAGE_CLASSES, shown) == {
        "Name": "fast (default)",
        "Provisioner": "x.io/disk",
        "ReclaimPolicy": "Delete",
        "VolumeBindingMode": "Immediate",
        "AllowVolumeExpansion": True,
        "Age": "90s",
    }


def test_drivers_and_what_they_attach() -> None:
    attachment = {
        "metadata": {"name": "a"},
        "spec": {"attacher": "x.io", "nodeName": "n1", "source": {"persistentVolumeName": "v"}},
        "status": {"attached": True},
    }
    assert row(resource("storage.k8s.io", "v1", "volumeattachments"), attachment) == {
        "Name": "a",
        "Attacher": "x.io",
        "PV": "v",
        "Node": "n1",
        "Attached": True,
        "Age": "90s",
    }
    node = {"metadata": {"name": "n1"}, "spec": {"drivers": [{}, {}]}}
    assert row(resource("storage.k8s.io", "v1", "csinodes"), node)["Drivers"] == 2
    driver = {"metadata": {"name": "x.io"}, "spec": {"tokenRequests": [{"audience": "a"}, {"audience": "b"}]}}
    assert row(resource("storage.k8s.io", "v1", "csidrivers"), driver)["TokenRequests"] == "a,b"
