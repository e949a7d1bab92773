"""Defaults of volumes, claims and persistent volumes."""

from __future__ import annotations

from sampan.api import podspec
from sampan.api.defaults.fill import entries, fill, fill_blank, section
from sampan.api.objects import Obj

FILE_MODE = 0o644
TOKEN_EXPIRATION_S = 3600

# source -> (field, value): plain defaults of single volume sources, the same in Pods and persistent volumes.
SOURCE_DEFAULTS: dict[str, tuple[tuple[str, object], ...]] = {
    "hostPath": (("type", ""),),
    "secret": (("defaultMode", FILE_MODE),),
    "configMap": (("defaultMode", FILE_MODE),),
    "downwardAPI": (("defaultMode", FILE_MODE),),
    "projected": (("defaultMode", FILE_MODE),),
    "iscsi": (("iscsiInterface", "default"),),
    "rbd": (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")),
    "scaleIO": (("storageMode", "ThinProvisioned"), ("fsType", "xfs")),
    "azureDisk": (("cachingMode", "ReadWrite"), ("fsType", "ext4"), ("readOnly", False), ("kind", "Shared")),
}


def volumes(spec: Obj) -> None:
    """The volumes of a Pod spec."""
    for volume in entries(spec, "volumes"):
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        if not sources:
            volume["emptyDir"] = {}
            continue
        for key in sources:
            _source(key, volume[key])


def claim(obj: Obj) -> None:
    """Kind PersistentVolumeClaim."""
    claim_spec(section(obj, "spec"))
    fill_blank(section(obj, "status"), "phase", "Pending")


def claim_spec(spec: Obj) -> None:
    fill_blank(spec, "volumeMode", "Filesystem")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source and not reference:
        spec["dataSourceRef"] = dict(source)
    elif reference and not source and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def persistent_volume(obj: Obj) -> None:
    spec = section(obj, "spec")
    fill_blank(spec, "persistentVolumeReclaimPolicy", "Retain")
    fill_blank(spec, "volumeMode", "Filesystem")
    for key in SOURCE_DEFAULTS:
        if spec.get(key) is not None:
            _source(key, spec[key])
    fill_blank(section(obj, "status"), "phase", "Pending")


def _source(key: str, source: Obj) -> None:
    for name, value in SOURCE_DEFAULTS.get(key, ()):
        fill(source, name, value)
    if key == "downwardAPI":
        _downward_items(source)
    elif key == "projected":
        for projection in entries(source, "sources"):
            if projection.get("serviceAccountToken") is not None:
                fill(projection["serviceAccountToken"], "expirationSeconds", TOKEN_EXPIRATION_S)
            if projection.get("downwardAPI") is not None:
                _downward_items(projection["downwardAPI"])
    elif key == "ephemeral":
        template = source.get("volumeClaimTemplate")
        if template is not None:
            claim_spec(section(template, "spec"))
    elif key == "image":
        fill_blank(source, "pullPolicy", podspec.default_pull_policy(source.get("reference") or ""))


def _downward_items(source: Obj) -> None:
    for item in entries(source, "items"):
        field_source(item)


def field_source(source: Obj) -> None:
    """Where a downward API value comes from: an item of a volume, or `valueFrom` of a variable."""
    if source.get("fieldRef") is not None:
        fill_blank(source["fieldRef"], "apiVersion", "v1")
    if source.get("resourceFieldRef") is not None:
        fill(source["resourceFieldRef"], "divisor", "0")
    if source.get("fileKeyRef") is not None:
        fill(source["fileKeyRef"], "optional", False)
