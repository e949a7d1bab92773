"""Rules of PersistentVolumes, their claims and StorageClasses."""

from __future__ import annotations

from sampan.api import names, quantity
from sampan.api.errors import forbidden_value, invalid_value, required
from sampan.api.objects import Obj, annotations_of
from sampan.api.persistence import CLASS, FACTS
from sampan.api.validation import labels
from sampan.api.validation.check import (
    POSITIVE,
    Errors,
    form,
    needed_form,
    one_of_if_set,
    unchanged,
    unsupported,
)

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
CLAIM_FROZEN = (
    "spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)


# --- PersistentVolume ---------------------------------------------------------------------------------------


def volume(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    yield from _access_modes(spec)
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield required("spec.capacity")
    if set(capacity) != {"storage"}:
        yield unsupported("spec.capacity", capacity, ("storage",))
    for name, text in capacity.items():
        yield from _positive(f"spec.capacity[{name}]", text)
    policy = spec.get("persistentVolumeReclaimPolicy")
    yield from one_of_if_set("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES)
    sources = sorted(_sources(spec))
    if not sources:
        yield required("spec", "must specify a volume type")
    for extra in sources[1:]:
        yield forbidden_value(f"spec.{extra}", "may not specify more than 1 volume type")
    if spec.get("storageClassName"):
        yield from form("spec.storageClassName", spec["storageClassName"], names.dns_subdomain)
    yield from one_of_if_set("spec.volumeMode", spec.get("volumeMode"), VOLUME_MODES)


def volume_update(new: Obj, old: Obj) -> Errors:
    yield from volume(new)
    now, was = new.get("spec") or {}, old.get("spec") or {}
    if _sources(now) != _sources(was):
        yield forbidden_value(
            "spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"
        )
    yield from unchanged("spec.volumeMode", now.get("volumeMode"), was.get("volumeMode"))


def _sources(spec: Obj) -> Obj:
    return {field: value for field, value in spec.items() if field not in FACTS and value is not None}


def _access_modes(spec: Obj) -> Errors:
    modes = spec.get("accessModes") or ()
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield unsupported("spec.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield forbidden_value("spec.accessModes", "may not use ReadWriteOncePod with other access modes")


def _positive(path: str, text: object) -> Errors:
    try:
        found = quantity.quantity(text)
    except ValueError as error:
        yield invalid_value(path, text, str(error))
        return
    if found.nano <= 0:
        yield invalid_value(path, str(found), POSITIVE)


# --- PersistentVolumeClaim ----------------------------------------------------------------------------------


def claim(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    yield from labels.selector("spec.selector", spec.get("selector"))
    yield from _access_modes(spec)
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        yield required("spec.resources[storage]")
    else:
        yield from _positive("spec.resources[storage]", size)
    if spec.get("storageClassName"):
        yield from form("spec.storageClassName", spec["storageClassName"], names.dns_subdomain)
    yield from one_of_if_set("spec.volumeMode", spec.get("volumeMode"), VOLUME_MODES)


def claim_update(new: Obj, old: Obj) -> Errors:
    """A claim may be given its volume and its class once; a bound one may ask for another size."""
    yield from claim(new)
    now, was = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    annotation = f"metadata.annotations[{CLASS}]"
    yield from unchanged(annotation, annotations_of(new).get(CLASS), annotations_of(old).get(CLASS))
    free = {"volumeName"} if not was.get("volumeName") else set()
    free |= {"storageClassName"} if was.get("storageClassName") is None else set()
    if (new.get("status") or {}).get("phase") == "Bound":
        free |= {"volumeAttributesClassName"}
        now["resources"], was["resources"] = _without_size(now), _without_size(was)
    if _kept(now, free) != _kept(was, free):
        yield forbidden_value("spec", CLAIM_FROZEN)
    wanted, before = _size(new), _size(old)
    if wanted is not None and before is not None and wanted < before:
        has = (old.get("status") or {}).get("capacity") or {}
        if wanted <= quantity.quantity(has.get("storage", "0")):
            sentence = "field can not be less than status.capacity"
            yield forbidden_value("spec.resources.requests.storage", sentence)
    yield from unchanged("volumeMode", now.get("volumeMode"), was.get("volumeMode"))
    if was.get("volumeAttributesClassName") and now.get("volumeAttributesClassName") is None:
        sentence = "update from non-nil value to nil is forbidden"
        yield forbidden_value("spec.volumeAttributesClassName", sentence)


def _kept(spec: Obj, free: set[str]) -> Obj:
    return {key: value for key, value in spec.items() if key not in free and value not in (None, {}, [])}


def _without_size(spec: Obj) -> Obj:
    resources = spec.get("resources") or {}
    requests = {key: text for key, text in (resources.get("requests") or {}).items() if key != "storage"}
    return {**resources, "requests": requests}


def _size(claim: Obj) -> quantity.Quantity | None:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    try:
        return quantity.quantity(requests["storage"]) if "storage" in requests else None
    except ValueError:
        return None  # said already


# --- StorageClass -------------------------------------------------------------------------------------------


def storage_class(obj: Obj) -> Errors:
    yield from needed_form("provisioner", (obj.get("provisioner") or "").lower(), names.qualified_name)
    yield from one_of_if_set("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    modes = ("Immediate", "WaitForFirstConsumer")
    yield from one_of_if_set("volumeBindingMode", obj.get("volumeBindingMode"), modes)


def storage_class_update(new: Obj, old: Obj) -> Errors:
    for field in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(field) or None) != (old.get(field) or None):
            yield forbidden_value(field, f"updates to {field} are forbidden.")
    yield from unchanged("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))
