"""Defaults of what describes classes of things: groups storage.k8s.io and scheduling.k8s.io."""

from __future__ import annotations

from typing import Any

from sampan.api.defaults.fill import fill, fill_blank, section
from sampan.api.objects import Obj


def storage_class(obj: Obj) -> None:
    fill_blank(obj, "reclaimPolicy", "Delete")
    fill_blank(obj, "volumeBindingMode", "Immediate")


CSI_DRIVER: tuple[tuple[str, Any], ...] = (
    ("attachRequired", True),
    ("podInfoOnMount", False),
    ("storageCapacity", False),
    ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
    ("requiresRepublish", False),
    ("seLinuxMount", False),
)


def csi_driver(obj: Obj) -> None:
    spec = section(obj, "spec")
    for name, value in CSI_DRIVER:
        fill(spec, name, value)
    fill_blank(spec, "volumeLifecycleModes", ["Persistent"])


def priority_class(obj: Obj) -> None:
    fill_blank(obj, "preemptionPolicy", "PreemptLowerPriority")
