"""What becomes of a persistent volume: Available, Bound, Released, Failed. Pure.

A volume whose claim is on its way to it is left alone here: the claim's own steps lead there.
"""

from __future__ import annotations

from sampan.api.objects import Obj, annotations_of, mutable, name_of, uid_of
from sampan.api.persistence import BOUND_BY_CONTROLLER, PROVISIONED_BY, claim_key, claim_ref, volume_mode
from sampan.controllers.persistentvolume.step import NOTHING, Market, Say, Step, Write

NO_RECYCLER = "No recycler plugin found for the volume!"


def step(volume: Obj, market: Market) -> Step:
    ref = claim_ref(volume)
    if not ref.get("uid"):
        # Nobody's, or kept for a claim that is not there or has not come to it yet.
        return Step(set_phase(volume, "Available"))
    claim = market.claim(claim_key(volume))
    if claim is None or uid_of(claim) != ref["uid"]:
        return _released(volume)
    chosen = claim["spec"].get("volumeName")
    if chosen == name_of(volume):
        return Step(set_phase(volume, "Bound"))
    if chosen:
        return _spare(volume)
    return _mismatch(volume, claim) if volume_mode(volume) != volume_mode(claim) else NOTHING


def set_phase(volume: Obj, phase: str, reason: str = "", message: str = "") -> tuple[Write, ...]:
    status = volume.get("status") or {}
    if status.get("phase") == phase and status.get("message", "") == message:
        return ()
    changed = mutable(volume)
    kept = {k: v for k, v in status.items() if k not in ("reason", "message", "lastPhaseTransitionTime")}
    told = {key: text for key, text in (("reason", reason), ("message", message)) if text}
    changed["status"] = {**kept, "phase": phase, **told}
    return (Write(changed, status=True),)


def _released(volume: Obj) -> Step:
    """Its claim has gone. What is to be deleted is deleted by whoever provisioned it."""
    phase = (volume.get("status") or {}).get("phase")
    if phase == "Failed":
        return NOTHING
    if phase != "Released":
        return Step(set_phase(volume, "Released"))
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", NO_RECYCLER)
    if policy == "Delete" and not annotations_of(volume).get(PROVISIONED_BY):
        message = (
            f'error getting deleter volume plugin for volume "{name_of(volume)}": '
            "no deletable volume plugin matched"
        )
        return _failed(volume, "VolumeFailedDelete", message)
    return NOTHING


def _failed(volume: Obj, reason: str, message: str) -> Step:
    writes = set_phase(volume, "Failed", reason, message)
    return Step(writes, (Say(volume, "Warning", reason, message),))


def _spare(volume: Obj) -> Step:
    """Its claim has taken another volume."""
    annotations = annotations_of(volume)
    if annotations.get(PROVISIONED_BY) and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return _released(volume)
    changed = mutable(volume)
    if BOUND_BY_CONTROLLER in annotations:
        del changed["metadata"]["annotations"][BOUND_BY_CONTROLLER]
        del changed["spec"]["claimRef"]
    else:
        # The user keeps it for a claim of this name; for which of them, is open again.
        del changed["spec"]["claimRef"]["uid"]
        changed["spec"]["claimRef"].pop("resourceVersion", None)
    return Step((Write(changed),))


def _mismatch(volume: Obj, claim: Obj) -> Step:
    of_volume = (
        f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{name_of(claim)}" '
        "due to incompatible volumeMode."
    )
    of_claim = (
        f'Cannot bind PersistentVolume "{name_of(volume)}" to requested PersistentVolumeClaim '
        f'"{name_of(claim)}" due to incompatible volumeMode.'
    )
    return Step(
        says=(
            Say(volume, "Warning", "VolumeMismatch", of_volume),
            Say(claim, "Warning", "VolumeMismatch", of_claim),
        )
    )
