"""Rules of PersistentVolumeClaims, and of the templates that Pods have them made from."""

from __future__ import annotations

from sampan.api import names, quantity
from sampan.api.errors import forbidden_value, invalid_value, required
from sampan.api.objects import Obj, annotations_of
from sampan.api.persistence import CLASS
from sampan.api.validation import labels, resources
from sampan.api.validation.check import POSITIVE, Errors, form, needed, one_of_if_set, unchanged, unsupported

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
FROZEN = (
    "spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims"
)


def claim(obj: Obj) -> Errors:
    return claim_spec("spec", obj.get("spec") or {})


def claim_spec(path: str, spec: Obj) -> Errors:
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from labels.selector(f"{path}.selector", spec.get("selector"))
    yield from access_modes(path, spec)
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        yield required(f"{path}.resources[storage]")
    else:
        yield from positive_amount(f"{path}.resources[storage]", size)
    if spec.get("storageClassName"):
        yield from form(f"{path}.storageClassName", spec["storageClassName"], names.dns_subdomain)
    yield from one_of_if_set(f"{path}.volumeMode", spec.get("volumeMode"), VOLUME_MODES)
    yield from _data_source(f"{path}.dataSource", spec.get("dataSource"))
    yield from _data_source(f"{path}.dataSourceRef", spec.get("dataSourceRef"))
    if spec.get("volumeAttributesClassName"):
        at = f"{path}.volumeAttributesClassName"
        yield from form(at, spec["volumeAttributesClassName"], names.dns_subdomain)


def access_modes(path: str, spec: Obj) -> Errors:
    modes = spec.get("accessModes") or ()
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield unsupported(f"{path}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield forbidden_value(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")


def positive_amount(path: str, text: object) -> Errors:
    try:
        found = quantity.quantity(text)
    except ValueError as error:
        yield invalid_value(path, text, str(error))
        return
    if found.nano <= 0:
        yield invalid_value(path, str(found), POSITIVE)


def _data_source(path: str, source: Obj | None) -> Errors:
    if source is None:
        return
    yield from needed(f"{path}.name", source.get("name"))
    yield from needed(f"{path}.kind", source.get("kind"))
    group = source.get("apiGroup") or ""
    if group:
        yield from form(f"{path}.apiGroup", group, names.dns_subdomain)
    elif source.get("kind") and source["kind"] != "PersistentVolumeClaim":
        sentence = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield invalid_value(path, source["kind"], sentence)


# --- changes ------------------------------------------------------------------------------------------------


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
        yield forbidden_value("spec", FROZEN)
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


def claim_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    for field in ("capacity", "allocatedResources"):
        yield from resources.listed(f"status.{field}", status.get(field))


def _kept(spec: Obj, free: set[str]) -> Obj:
    return {key: value for key, value in spec.items() if key not in free and value not in (None, {}, [])}


def _without_size(spec: Obj) -> Obj:
    found = spec.get("resources") or {}
    requests = {key: text for key, text in (found.get("requests") or {}).items() if key != "storage"}
    return {**found, "requests": requests}


def _size(obj: Obj) -> quantity.Quantity | None:
    requests = ((obj.get("spec") or {}).get("resources") or {}).get("requests") or {}
    try:
        return quantity.quantity(requests["storage"]) if "storage" in requests else None
    except ValueError:
        return None  # said already
