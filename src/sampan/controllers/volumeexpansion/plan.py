"""What is to be written for a bound claim that asks for more than it has. Pure.

A directory has no size of its own: the volume is as large as it says, and the node has nothing to do. A
volume of another provisioner is left to that.
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api.objects import Obj, annotations_of, mutable
from sampan.api.persistence import DIRECTORIES, PROVISIONED_BY, capacity, is_bound, requested
from sampan.api.quantity import Quantity, quantity

IGNORED = (
    "Ignoring the PVC: didn't find a plugin capable of expanding the volume; waiting for an external "
    "controller to process this PVC."
)
_RESIZING = ("Resizing", "FileSystemResizePending", "ControllerResizeError", "NodeResizeError")
"""Conditions of a resize under way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`volume` is written first, then the claim's `status`; `foreign` if another has to do it."""

    volume: Obj | None = None
    status: Obj | None = None
    foreign: bool = False


def plan(claim: Obj, volume: Obj | None) -> Plan:
    wanted = requested(claim)
    if volume is None or not is_bound(claim) or wanted <= allotted(claim):
        return Plan()
    if annotations_of(volume).get(PROVISIONED_BY) != DIRECTORIES:
        return Plan(foreign=True)
    larger = None
    if capacity(volume) < wanted:
        larger = mutable(volume)
        larger["spec"]["capacity"]["storage"] = str(wanted)
    return Plan(larger, _grown(claim, wanted))


def allotted(claim: Obj) -> Quantity:
    """What the claim has; before it was ever bound, nothing is less than what it asks for."""
    found = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return quantity(found) if found is not None else requested(claim)


def _grown(claim: Obj, wanted: Quantity) -> Obj:
    changed = mutable(claim)
    status = changed["status"]
    status["capacity"] = {**status["capacity"], "storage": str(wanted)}
    status["allocatedResources"] = {"storage": str(wanted)}
    status.pop("allocatedResourceStatuses", None)
    others = [each for each in status.get("conditions") or () if each.get("type") not in _RESIZING]
    status.pop("conditions", None)
    if others:
        status["conditions"] = others
    return changed
