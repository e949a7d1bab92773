"""Claims, volumes and classes as tests need them: whole, and small."""

from __future__ import annotations

from typing import Any

from sampan.api.objects import Obj
from sampan.api.persistence import BIND_COMPLETED

WAITS = "WaitForFirstConsumer"


def claim(name: str = "data", size: str = "1Gi", phase: str = "Pending", **spec: Any) -> Obj:
    """`default/NAME`, of uid `u-NAME`."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default", "uid": f"u-{name}"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **spec,
        },
        "status": {"phase": phase},
    }


def bound_claim(name: str = "data", volume: str = "v", **spec: Any) -> Obj:
    found = claim(name, phase="Bound", volumeName=volume, **spec)
    found["metadata"]["annotations"] = {BIND_COMPLETED: "yes"}
    found["status"]["capacity"] = {"storage": "1Gi"}
    return found


def volume(name: str = "v", size: str = "1Gi", phase: str = "Available", **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "uid": f"u-{name}"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size},
            "persistentVolumeReclaimPolicy": "Retain",
            **spec,
        },
        "status": {"phase": phase},
    }


def ref(name: str = "data", uid: str | None = None) -> Obj:
    """The `claimRef` of a volume that is bound to `claim(NAME)`."""
    return {"namespace": "default", "name": name, "uid": f"u-{name}" if uid is None else uid}


def storage_class(name: str, mode: str = "Immediate", provisioner: str = "x.io/disk", **fields: Any) -> Obj:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
        **fields,
    }


def only_on(node: str) -> Obj:
    """The `nodeAffinity` of a volume."""
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}}
