"""What becomes of a claim: found a volume, bound to it in four writes, or told what it waits for. Pure.

The volume names the claim; then the volume is Bound, and the claim names the volume (and that the binding is
complete); then the claim is Bound. Before it names one, a claim may still be led to another volume; after
that, a volume that is gone is lost.
"""

from __future__ import annotations

from typing import Any

from sampan.api.objects import Obj, annotations_of, is_deleting, mutable, name_of, uid_of
from sampan.api.persistence import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    STORAGE_PROVISIONER_BETA,
    best_match,
    claim_ref,
    claimed,
    class_of,
    default_class,
    is_complete,
    is_meant_for,
    names_class,
    shortcoming,
    waits_for_consumer,
)
from sampan.controllers.persistentvolume.step import NOTHING, Market, Say, Step, Write
from sampan.controllers.persistentvolume.volumes import set_phase

LOST_VOLUME = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
LOST_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
FIRST_CONSUMER = "waiting for first consumer to be created before binding"
NO_VOLUMES = "no persistent volumes available for this claim and no storage class is set"


def step(claim: Obj, market: Market) -> Step:
    if is_complete(claim):
        return _kept(claim, market)
    if name := claim["spec"].get("volumeName"):
        return _asked_for(claim, name, market.volume(name))
    if is_deleting(claim):
        return NOTHING
    storage_class = market.storage_class(class_of(claim))
    offers = market.offers(claim)
    if waits_for_consumer(storage_class):
        # The scheduler chooses, and has its choice name the claim.
        offers = [volume for volume in offers if is_meant_for(volume, claim)]
    volume = best_match(claim, offers)
    return bind(volume, claim) if volume is not None else _without_volume(claim, storage_class, market)


def _kept(claim: Obj, market: Market) -> Step:
    name = claim["spec"].get("volumeName")
    if not name:
        return _lost(claim, "ClaimLost", LOST_REFERENCE)
    volume = market.volume(name)
    if volume is None:
        return _lost(claim, "ClaimLost", LOST_VOLUME)
    if claim_ref(volume) and not is_meant_for(volume, claim):
        return _lost(claim, "ClaimMisbound", MISBOUND)
    return bind(volume, claim)


def _asked_for(claim: Obj, name: str, volume: Obj | None) -> Step:
    """A volume that the user named, or that we had named when something came between."""
    if volume is None:
        return _pending(claim)
    if not claim_ref(volume):
        if lack := shortcoming(volume, claim):
            message = f'Cannot bind to requested volume "{name}": {lack}'
            return _pending(claim, Say(claim, "Warning", "VolumeMismatch", message))
        return bind(volume, claim)
    if is_meant_for(volume, claim):
        return bind(volume, claim)
    message = f'volume "{name}" already bound to a different claim.'
    return _pending(claim, Say(claim, "Warning", "FailedBinding", message))


def _without_volume(claim: Obj, storage_class: Obj | None, market: Market) -> Step:
    if not names_class(claim) and (default := default_class(market.classes())) is not None:
        changed = mutable(claim)
        changed["spec"]["storageClassName"] = name_of(default)
        return Step((Write(changed),))
    annotations = annotations_of(claim)
    if waits_for_consumer(storage_class) and SELECTED_NODE not in annotations:
        return _pending(claim, Say(claim, "Normal", "WaitForFirstConsumer", FIRST_CONSUMER))
    if not class_of(claim):
        return _pending(claim, Say(claim, "Normal", "FailedBinding", NO_VOLUMES))
    if storage_class is None:
        message = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
        return _pending(claim, Say(claim, "Warning", "ProvisioningFailed", message))
    provisioner = storage_class["provisioner"]
    if provisioner.startswith("kubernetes.io/") or provisioner == NO_PROVISIONER:
        message = f"no volume plugin matched name: {provisioner}"
        return _pending(claim, Say(claim, "Warning", "ProvisioningFailed", message))
    if annotations.get(STORAGE_PROVISIONER) != provisioner:
        changed = mutable(claim)
        changed["metadata"]["annotations"] = annotations | {
            STORAGE_PROVISIONER_BETA: provisioner,
            STORAGE_PROVISIONER: provisioner,
        }
        return Step((Write(changed),))
    message = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually "
        "by the system administrator. If volume creation is delayed, please verify that the provisioner is "
        "running and correctly registered."
    )
    return _pending(claim, Say(claim, "Normal", "ExternalProvisioning", message))


# --- binding ------------------------------------------------------------------------------------------------


def bind(volume: Obj, claim: Obj) -> Step:
    """The first of the writes that are not done yet."""
    if claim_ref(volume).get("uid") != uid_of(claim):
        return Step((Write(claimed(volume, claim)),))
    writes = set_phase(volume, "Bound")
    if claim["spec"].get("volumeName") != name_of(volume) or not is_complete(claim):
        writes = (*writes, Write(_named(claim, volume)))
    return Step(writes) if writes else _status(claim, "Bound", _bound_status(claim, volume))


def _named(claim: Obj, volume: Obj) -> Obj:
    changed = mutable(claim)
    annotations = {**annotations_of(claim), BIND_COMPLETED: "yes"}
    if not claim["spec"].get("volumeName"):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    changed["metadata"]["annotations"] = annotations
    changed["spec"]["volumeName"] = name_of(volume)
    return changed


def _bound_status(claim: Obj, volume: Obj) -> Obj:
    """Its capacity is the volume's when it becomes bound; from then on whoever resizes tells it."""
    status = claim.get("status") or {}
    fields: Obj = {"accessModes": volume["spec"].get("accessModes") or []}
    if status.get("phase") != "Bound":
        fields["capacity"] = volume["spec"].get("capacity") or {}
    if attributes := volume["spec"].get("volumeAttributesClassName"):
        fields["currentVolumeAttributesClassName"] = attributes
    return fields


def _lost(claim: Obj, reason: str, message: str) -> Step:
    return _status(
        claim, "Lost", {"accessModes": None, "capacity": None}, Say(claim, "Warning", reason, message)
    )


def _pending(claim: Obj, *says: Say) -> Step:
    changed = _status(claim, "Pending", {})
    return changed if changed.writes else Step(says=says)


def _status(claim: Obj, phase: str, fields: dict[str, Any], *says: Say) -> Step:
    """None of `fields` are taken away; `says` only if it is news."""
    status = claim.get("status") or {}
    wanted = {**status, "phase": phase, **fields}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    if wanted == status:
        return NOTHING
    changed = mutable(claim)
    changed["status"] = wanted
    return Step((Write(changed, status=True),), says)
