"""What the built-in provisioner makes of a claim, what it refuses, and what it takes away again. Pure.

A volume is a directory `VOLUMES/NAME` of one node. It has no size: the capacity is what was asked for, and
nobody is stopped from using more.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path

from sampan.api.objects import Obj, annotations_of, is_deleting, name_of, namespace_of, uid_of
from sampan.api.persistence import (
    DIRECTORIES,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    is_complete,
    modes,
    requested,
    volume_mode,
    waits_for_consumer,
)

HOSTNAME = "kubernetes.io/hostname"


def is_wanted(claim: Obj, storage_class: Obj | None, node_name: str) -> bool:
    """Whether this node is to provide for the claim, or may say that it will (`is_chosen`)."""
    if storage_class is None or storage_class["provisioner"] != DIRECTORIES:
        return False
    if is_deleting(claim) or is_complete(claim) or claim["spec"].get("volumeName"):
        return False
    annotations = annotations_of(claim)
    selected = annotations.get(SELECTED_NODE, "")
    if waits_for_consumer(storage_class):
        # The scheduler has found no volume that is there; whom the binder asks need not be waited for.
        return selected == node_name
    return annotations.get(STORAGE_PROVISIONER) == DIRECTORIES and selected in ("", node_name)


def is_chosen(claim: Obj) -> bool:
    """Whether some node was chosen; of a class that binds at once, the first to say so is."""
    return SELECTED_NODE in annotations_of(claim)


def refusal(claim: Obj, storage_class: Obj) -> str:
    """What a directory cannot be; "" if it will do."""
    spec = claim["spec"]
    if volume_mode(claim) != "Filesystem":
        return "volumeMode Block is not supported: a directory is no device"
    if spec.get("selector"):
        return "claim.spec.selector is not supported for dynamic provisioning"
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return "a data source is not supported: directories are made empty"
    if storage_class.get("mountOptions"):
        return "mount options are not supported: a directory is not mounted"
    if storage_class.get("parameters"):
        return f"unknown parameters: {', '.join(sorted(storage_class['parameters']))}"
    return ""


def volume_name(claim: Obj) -> str:
    return f"pvc-{uid_of(claim)}"


def volume_for(claim: Obj, storage_class: Obj, node_name: str, root: Path) -> Obj:
    name = volume_name(claim)
    here = {"key": HOSTNAME, "operator": "In", "values": [node_name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {PROVISIONED_BY: DIRECTORIES},
            "finalizers": [DIRECTORIES],
        },
        "spec": {
            "capacity": {"storage": str(requested(claim))},
            "accessModes": list(modes(claim)),
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": name_of(storage_class),
            "volumeMode": "Filesystem",
            "local": {"path": str(root / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
            },
        },
    }


# --- the way back -------------------------------------------------------------------------------------------


def is_ours(volume: Obj, node_name: str) -> bool:
    """Whether this node made the volume, and its directory may still be there."""
    if annotations_of(volume).get(PROVISIONED_BY) != DIRECTORIES:
        return False
    return DIRECTORIES in (volume["metadata"].get("finalizers") or ()) and _home(volume) == node_name


def _home(volume: Obj) -> str:
    terms = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for term in terms:
        for expression in term.get("matchExpressions") or ():
            if expression.get("key") == HOSTNAME and expression.get("operator") == "In":
                return "".join(expression.get("values") or ())
    return ""


def is_to_go(volume: Obj) -> bool:
    """Whether nobody will want the volume any more: released, or deleted by its user before that."""
    phase = (volume.get("status") or {}).get("phase")
    if is_deleting(volume):
        return phase != "Bound"
    return phase == "Released" and _policy(volume) == "Delete"


def directory_of(volume: Obj, root: Path) -> Path | None:
    """The directory to remove with the volume; None if its data are to stay.

    Raises ValueError for a volume that names another place than the one it was made in.
    """
    if _policy(volume) != "Delete":
        return None
    name = name_of(volume)
    place = root / name
    if (
        "/" in name
        or name in ("", ".", "..")
        or (volume["spec"].get("local") or {}).get("path") != str(place)
    ):
        raise ValueError(f"{name} is not at {place}, where this node made it; its directory is left alone")
    return place


def is_left_over(name: str, volumes: Container[str], claims: Iterable[Obj]) -> bool:
    """Whether a directory is no volume's, nor a claim's that is yet to get one: somebody was killed."""
    return name not in volumes and all(volume_name(claim) != name for claim in claims)


def _policy(volume: Obj) -> str:
    policy: str = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
    return policy
