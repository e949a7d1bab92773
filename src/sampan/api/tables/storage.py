"""Printers of volumes, claims and group storage.k8s.io."""

from __future__ import annotations

from sampan.api.objects import Obj, annotations_of, is_deleting
from sampan.api.persistence import IS_DEFAULT, claim_key, class_of
from sampan.api.tables.column import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Column,
    Printer,
    at,
    boolean,
    find,
    integer,
    joined,
    printer,
    size,
    text,
    wide,
)

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def _phase(obj: Obj, now: float) -> str:
    return "Terminating" if is_deleting(obj) else find(obj, "status.phase") or ""


def _claim(obj: Obj, now: float) -> str:
    return claim_key(obj)


def _class(obj: Obj, now: float) -> str:
    return class_of(obj)


def _bound(cell: Cell) -> Cell:
    """Of a claim, what is known once it has a volume."""
    return lambda obj, now: cell(obj, now) if find(obj, "spec.volumeName") else ""


def _name_and_default(*annotations: str) -> tuple[Column, Cell]:
    def read(obj: Obj, now: float) -> str:
        name: str = obj["metadata"].get("name", "")
        default = any(annotations_of(obj).get(annotation) == "true" for annotation in annotations)
        return f"{name} (default)" if default else name

    return Column("Name", format="name"), read


def _audiences(obj: Obj, now: float) -> str:
    return ",".join(r.get("audience", "") for r in find(obj, "spec.tokenRequests") or ()) or UNSET


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "persistentvolumes"): printer(
        NAME,
        text("Capacity", at("spec.capacity.storage")),
        text("Access Modes", lambda obj, now: _modes(find(obj, "spec.accessModes"))),
        text("Reclaim Policy", at("spec.persistentVolumeReclaimPolicy")),
        text("Status", _phase),
        text("Claim", _claim),
        text("StorageClass", _class),
        text("VolumeAttributesClass", at("spec.volumeAttributesClassName", UNSET)),
        text("Reason", at("status.reason")),
        AGE,
        wide("VolumeMode", at("spec.volumeMode", UNSET)),
    ),
    ("", "persistentvolumeclaims"): printer(
        NAME,
        text("Status", _phase),
        text("Volume", at("spec.volumeName")),
        text("Capacity", _bound(at("status.capacity.storage"))),
        text("Access Modes", _bound(lambda obj, now: _modes(find(obj, "status.accessModes")))),
        text("StorageClass", _class),
        text("VolumeAttributesClass", at("spec.volumeAttributesClassName", UNSET)),
        AGE,
        wide("VolumeMode", at("spec.volumeMode", UNSET)),
    ),
    ("storage.k8s.io", "storageclasses"): printer(
        _name_and_default(*IS_DEFAULT),
        text("Provisioner", at("provisioner")),
        text("ReclaimPolicy", at("reclaimPolicy", "Delete")),
        text("VolumeBindingMode", at("volumeBindingMode", "Immediate")),
        text("AllowVolumeExpansion", at("allowVolumeExpansion", False)),
        AGE,
    ),
    ("storage.k8s.io", "volumeattributesclasses"): printer(
        _name_and_default("storage.alpha.kubernetes.io/is-default-class"),
        text("DriverName", at("driverName")),
        AGE,
    ),
    ("storage.k8s.io", "volumeattachments"): printer(
        NAME,
        text("Attacher", at("spec.attacher")),
        text("PV", at("spec.source.persistentVolumeName")),
        text("Node", at("spec.nodeName")),
        boolean("Attached", at("status.attached", False)),
        AGE,
    ),
    ("storage.k8s.io", "csinodes"): printer(NAME, integer("Drivers", size("spec.drivers")), AGE),
    ("storage.k8s.io", "csidrivers"): printer(
        NAME,
        boolean("AttachRequired", at("spec.attachRequired", True)),
        boolean("PodInfoOnMount", at("spec.podInfoOnMount", False)),
        boolean("StorageCapacity", at("spec.storageCapacity", False)),
        text("TokenRequests", _audiences),
        boolean("RequiresRepublish", at("spec.requiresRepublish", False)),
        text("Modes", joined("spec.volumeLifecycleModes", NONE)),
        AGE,
    ),
}
