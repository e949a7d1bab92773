"""Rules of StorageClasses and VolumeAttributesClasses."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required, too_long
from sampan.api.objects import Obj
from sampan.api.validation.check import Errors, dicts, needed_form, one_of, one_of_if_set, unchanged

MOST_PARAMETERS, MOST_PARAMETER_BYTES = 512, 256 * 1024
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


def storage_class(obj: Obj) -> Errors:
    yield from _provisioner("provisioner", obj.get("provisioner"))
    yield from _parameters(obj.get("parameters") or {})
    yield from one_of_if_set("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    yield from one_of("volumeBindingMode", obj.get("volumeBindingMode"), BINDING_MODES)
    yield from _topologies("allowedTopologies", obj)


def _provisioner(path: str, text: str | None) -> Errors:
    return needed_form(path, (text or "").lower(), names.qualified_name)


def _parameters(parameters: dict[str, str]) -> Errors:
    if len(parameters) > MOST_PARAMETERS:
        yield too_long("parameters", MOST_PARAMETERS)
        return
    if "" in parameters:
        yield invalid_value("parameters", "", "field can not be empty.")
    size = sum(len(key.encode()) + len((text or "").encode()) for key, text in parameters.items())
    if size > MOST_PARAMETER_BYTES:
        yield too_long("parameters", MOST_PARAMETER_BYTES)


def _topologies(path: str, obj: Obj) -> Errors:
    seen: list[dict[str, set[str]]] = []
    for index, term in dicts(obj, path):
        at = f"{path}[{index}]"
        wanted: dict[str, set[str]] = {}
        for number, expression in dicts(term, "matchLabelExpressions"):
            here, key = f"{at}.matchLabelExpressions[{number}]", expression.get("key") or ""
            values = expression.get("values") or []
            if not values:
                yield required(f"{here}.values")
            for position, value in enumerate(values):
                if value in values[:position]:
                    yield duplicate(f"{here}.values[{position}]", value)
            for sentence in names.qualified_name(key):
                yield invalid_value(f"{here}.key", key, sentence)
            if key in wanted:
                yield duplicate(f"{here}.key", key)
            wanted[key] = set(values)
        if wanted in seen:
            yield duplicate(f"{at}.matchLabelExpressions", "")
        seen.append(wanted)


def storage_class_update(new: Obj, old: Obj) -> Errors:
    yield from _frozen(new, old, "parameters", "provisioner", "reclaimPolicy")
    yield from unchanged("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))


def attributes_class(obj: Obj) -> Errors:
    yield from _provisioner("driverName", obj.get("driverName"))
    yield from _parameters(obj.get("parameters") or {})
    if not obj.get("parameters"):
        yield required("parameters", "must contain at least one key/value pair")


def attributes_class_update(new: Obj, old: Obj) -> Errors:
    yield from _frozen(new, old, "driverName", "parameters")
    yield from attributes_class(new)


def _frozen(new: Obj, old: Obj, *fields: str) -> Errors:
    for field in fields:
        if (new.get(field) or None) != (old.get(field) or None):
            yield forbidden_value(field, f"updates to {field} are forbidden.")
