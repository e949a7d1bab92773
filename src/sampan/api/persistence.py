"""What claims, persistent volumes and StorageClasses say to each other: facts that the binder, the scheduler,
admission and the node share. Pure.

Source: concepts/storage/persistent-volumes, reference/labels-annotations-taints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sampan.api import nodeselector
from sampan.api.clock import parse_time
from sampan.api.objects import (
    Obj,
    annotations_of,
    controller_of,
    is_deleting,
    labels_of,
    mutable,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.api.quantity import Quantity, quantity
from sampan.api.selectors import label_selector_from

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
STORAGE_PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
CLASS = "volume.beta.kubernetes.io/storage-class"
"""What named the class before `storageClassName` did; it goes first."""
IS_DEFAULT = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"

DIRECTORIES = "sampan.dev/directory"
"""The provisioner that is built in, and the finalizer of its volumes: a directory of the node for each."""
NO_PROVISIONER = "kubernetes.io/no-provisioner"

FACTS = frozenset(
    (
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    )
)
"""Everything else in the spec of a volume is what it is made of."""


class ClaimOfPod(NamedTuple):
    """A volume of a Pod that is a claim; `is_ephemeral` if it was made for the Pod."""

    volume: str
    claim: str
    read_only: bool
    is_ephemeral: bool


def claims_of(pod: Obj) -> Iterator[ClaimOfPod]:
    for volume in pod["spec"].get("volumes") or ():
        if (source := volume.get("persistentVolumeClaim")) is not None:
            yield ClaimOfPod(volume["name"], source["claimName"], bool(source.get("readOnly")), False)
        elif volume.get("ephemeral") is not None:
            yield ClaimOfPod(volume["name"], f"{name_of(pod)}-{volume['name']}", False, True)


def claim_keys(pod: Obj) -> list[str]:
    """`namespace/name` of every claim that the Pod uses."""
    return [f"{namespace_of(pod)}/{each.claim}" for each in claims_of(pod)]


def made_for(claim: Obj, pod: Obj) -> str:
    """Why a claim is not the one that was made for a Pod's ephemeral volume; "" if it is."""
    owner = controller_of(claim)
    if owner is not None and owner["uid"] == uid_of(pod):
        return ""
    return (
        f"PVC {namespace_of(claim)}/{name_of(claim)} was not created for pod "
        f"{namespace_of(pod)}/{name_of(pod)} (pod is not owner)"
    )


# --- classes ------------------------------------------------------------------------------------------------


def class_of(obj: Obj) -> str:
    """The class that a claim or a volume names; "" for none."""
    return annotations_of(obj).get(CLASS) or (obj.get("spec") or {}).get("storageClassName") or ""


def names_class(claim: Obj) -> bool:
    """Whether the claim has a class, or says that it wants none; if not, it gets the default."""
    return CLASS in annotations_of(claim) or claim["spec"].get("storageClassName") is not None


def default_class(classes: Iterable[Obj]) -> Obj | None:
    """Of several defaults the newest, and of those of one second the first by name."""
    defaults = [each for each in classes if any(annotations_of(each).get(a) == "true" for a in IS_DEFAULT)]
    return min(defaults, key=lambda each: (-_born(each), name_of(each)), default=None)


def _born(obj: Obj) -> float:
    text = obj["metadata"].get("creationTimestamp")
    return parse_time(text) if text else 0.0


def waits_for_consumer(storage_class: Obj | None) -> bool:
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


# --- claims and volumes -------------------------------------------------------------------------------------


def requested(claim: Obj) -> Quantity:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity(requests.get("storage", "0"))


def capacity(volume: Obj) -> Quantity:
    return quantity((volume["spec"].get("capacity") or {}).get("storage", "0"))


def claim_ref(volume: Obj) -> Obj:
    """`spec.claimRef`, {} if there is none."""
    return (volume.get("spec") or {}).get("claimRef") or {}


def claim_key(volume: Obj) -> str:
    """`namespace/name` of the claim that the volume names, or ""."""
    ref = claim_ref(volume)
    return f"{ref.get('namespace', '')}/{ref['name']}" if ref.get("name") else ""


def is_meant_for(volume: Obj, claim: Obj) -> bool:
    """Whether the volume names this claim, be it by name alone."""
    return claim_key(volume) == f"{namespace_of(claim)}/{name_of(claim)}" and claim_ref(volume).get(
        "uid", ""
    ) in ("", uid_of(claim))


def claimed(volume: Obj, claim: Obj) -> Obj:
    """A copy of the volume that names the claim; it remembers whether the user had it do so."""
    changed = mutable(volume)
    if not claim_ref(volume):
        annotations = changed["metadata"].get("annotations") or {}
        changed["metadata"]["annotations"] = {**annotations, BOUND_BY_CONTROLLER: "yes"}
    changed["spec"]["claimRef"] = {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"].get("resourceVersion", ""),
    }
    return changed


def is_complete(claim: Obj) -> bool:
    """Whether the claim's binding was finished, whatever has become of its volume since."""
    return BIND_COMPLETED in annotations_of(claim)


def is_bound(claim: Obj) -> bool:
    return is_complete(claim) and bool(claim["spec"].get("volumeName"))


def modes(obj: Obj) -> list[str]:
    return obj["spec"].get("accessModes") or []


def volume_mode(obj: Obj) -> str:
    return obj["spec"].get("volumeMode") or "Filesystem"


def allows(volume: Obj, node: Obj) -> bool:
    """Whether the volume can be reached from the node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or nodeselector.selects(required, node)


def shortcoming(volume: Obj, claim: Obj) -> str:
    """Why a volume that was asked for by name does not do for the claim; "" if it does."""
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _attributes_class(volume) != _attributes_class(claim):
        return "volumeAttributesClassName does not match"
    return _lack(volume, claim)


def _lack(volume: Obj, claim: Obj) -> str:
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if volume_mode(volume) != volume_mode(claim):
        return "incompatible volumeMode"
    if not set(modes(claim)) <= set(modes(volume)):
        return "incompatible accessMode"
    return ""


def _attributes_class(obj: Obj) -> str:
    return obj["spec"].get("volumeAttributesClassName") or ""


def best_match(claim: Obj, volumes: Iterable[Obj], node: Obj | None = None) -> Obj | None:
    """The volume to bind: one that names the claim, else the smallest that fits, with no more access modes
    than need be. With `node`, only what can be reached from there.
    """
    found: list[Obj] = []
    selector = claim["spec"].get("selector")
    for volume in volumes:
        if is_deleting(volume):
            continue
        if node is not None and not allows(volume, node):
            continue
        if is_meant_for(volume, claim):
            if not _lack(volume, claim):  # whoever names the claim need not be of its class
                return volume
        elif (
            not claim_ref(volume)
            and (volume.get("status") or {}).get("phase") == "Available"
            and not shortcoming(volume, claim)
            and (not selector or label_selector_from(selector).matches(labels_of(volume)))
        ):
            found.append(volume)
    return min(found, key=lambda each: (len(modes(each)), capacity(each), name_of(each)), default=None)
