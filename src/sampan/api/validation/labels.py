"""Rules of labels, annotations and label selectors."""

from __future__ import annotations

from sampan.api import names, selectors
from sampan.api.errors import FieldError, forbidden_value, invalid_value, required, too_long
from sampan.api.objects import Obj
from sampan.api.validation.check import Errors, dicts, form

ANNOTATIONS_SIZE = 256 * 1024

NO_MATCH = "`selector` does not match template `labels`"


def label_map(path: str, mapping: dict[str, str] | None) -> Errors:
    for key, value in (mapping or {}).items():
        yield from form(path, key, names.qualified_name)
        yield from form(path, value or "", names.label_value)


def annotation_map(path: str, mapping: dict[str, str] | None) -> Errors:
    size = 0
    for key, value in (mapping or {}).items():
        # Case does not matter here, so the prefix may be written in capitals.
        for sentence in names.qualified_name(key.lower()):
            yield invalid_value(path, key, sentence)
        size += len(key.encode()) + len((value or "").encode())
    if size > ANNOTATIONS_SIZE:
        yield too_long(path, ANNOTATIONS_SIZE)


def selector(path: str, obj: Obj | None) -> Errors:
    """A `LabelSelector` object."""
    if not obj:
        return
    yield from label_map(f"{path}.matchLabels", obj.get("matchLabels"))
    for index, expression in dicts(obj, "matchExpressions"):
        yield from _expression(f"{path}.matchExpressions[{index}]", expression)


def _expression(path: str, expression: Obj) -> Errors:
    operator, values = expression.get("operator") or "", expression.get("values")
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden_value(
                f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            )
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
    yield from form(f"{path}.key", expression.get("key") or "", names.qualified_name)
    for index, value in enumerate(values or ()):
        yield from form(f"{path}.values[{index}]", value or "", names.label_value)


def needed_selector(path: str, obj: Obj | None, kind: str) -> Errors:
    """A workload's selector: it must be there and must not be empty."""
    if obj is None:
        yield required(path)
        return
    yield from selector(path, obj)
    if not obj.get("matchLabels") and not obj.get("matchExpressions"):
        yield invalid_value(path, obj, f"empty selector is invalid for {kind}")


def matches_template(path: str, obj: Obj | None, template: Obj) -> list[FieldError]:
    """The selector must find the Pods of its own template (`path`), and one that is missing finds none."""
    found = (template.get("metadata") or {}).get("labels")
    if obj is not None:
        try:
            compiled = selectors.label_selector_from(obj)
        except selectors.SelectorError:
            return []  # said already, at the selector itself
        if compiled.is_everything or compiled.matches(found or {}):
            return []
    return [invalid_value(f"{path}.metadata.labels", found, NO_MATCH)]
