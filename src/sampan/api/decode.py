"""From the bytes of a request to an object of a known kind, and the words upstream has for what is wrong.

Decoding is lenient and strict at once, as in API conventions: a value of the wrong type is always refused
(400), `null` counts as absent, and a field that the kind does not have is dropped: silently (`Ignore`),
with a warning (`Warn`, the default) or with a refusal (`Strict`). Rules about values are validation's, not
decoding's.
"""

from __future__ import annotations

from typing import Any

import orjson

from sampan.api import body, errors, schema, unstructured, walk
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.api.schema import Definition, SchemaSource

IGNORE, WARN, STRICT = "Ignore", "Warn", "Strict"
FIELD_VALIDATIONS = (IGNORE, WARN, STRICT)


def decode(
    data: bytes,
    content_type: str,
    resource: Resource,
    kind: tuple[str, str] | None = None,
    field_validation: str = WARN,
    schemas: SchemaSource | None = None,
) -> tuple[Obj, list[str]]:
    """The object in a request body, and warnings for the `Warning` header.

    `kind` is the (apiVersion, kind) wanted where it is not the resource's own (`Scale`, `Eviction`,
    `DeleteOptions`, ...). The object comes back with apiVersion and kind set and without nulls. Raises
    StatusError: 415 for a format that is not read here, 400 for everything else.
    """
    wanted = kind or (resource.api_version, resource.kind)
    try:
        document = body.read(data, content_type, find_duplicates=field_validation != IGNORE)
        actual = _version_kind(document.value, wanted)
    except errors.Unreadable as error:
        raise _unrecognized(wanted[1], str(error), data) from None
    obj: Obj = document.value if document.value is not None else {}
    source = schemas or schema.built_in()
    definition = _match(source, wanted, actual)
    try:
        unknown = walk.prune(obj, definition)
    except walk.Mismatch as error:
        raise _unfit(actual, wanted[1], str(error)) from None
    strict = [*document.strict_errors, *unknown, *document.duplicates_in(obj)]
    obj["apiVersion"], obj["kind"] = actual
    if "metadata" in definition.fields:
        obj.setdefault("metadata", {})
    if strict and field_validation == STRICT:
        raise _unfit(actual, wanted[1], f"strict decoding error: {', '.join(_capped(strict))}")
    return obj, [] if field_validation == IGNORE else _capped(strict)


def prune(
    obj: Obj,
    api_version: str,
    kind: str,
    field_validation: str = WARN,
    *,
    of_patch: bool = False,
    merged: Any = None,
    schemas: SchemaSource | None = None,
) -> list[str]:
    """Decoding's rules on an object that is already there; changes it in place, answers warnings.

    What does not fit is said as of a request body (400), or as of the outcome of a patch (422) with
    `of_patch`; `merged` is the patch if it was a strategic one, of which upstream shows what was sent.
    """
    source = schemas or schema.built_in()
    definition = source.find(api_version, kind) or schema.unknown_kind()
    try:
        unknown = _capped(walk.prune(obj, definition))
    except walk.Mismatch as error:
        if merged is not None:
            raise _bad_outcome(unstructured.shown(merged), error.of_values) from None
        raise (
            _bad_outcome(_json(obj), str(error))
            if of_patch
            else _unfit((api_version, kind), kind, str(error))
        ) from None
    if "metadata" in definition.fields:
        obj.setdefault("metadata", {})
    if unknown and field_validation == STRICT:
        reason = f"strict decoding error: {', '.join(unknown)}"
        if not of_patch:
            raise _unfit((api_version, kind), kind, reason)
        raise _bad_outcome(_json(obj) if merged is None else unstructured.shown(merged), reason)
    return [] if field_validation == IGNORE else unknown


_MAX_STRICT_ERRORS = 100


def _capped(strict: list[str]) -> list[str]:
    return list(dict.fromkeys(strict))[:_MAX_STRICT_ERRORS]


# --- whether it is the kind that was asked for ---


_TYPE_META = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)


def _version_kind(value: Any, wanted: tuple[str, str]) -> tuple[str, str]:
    """apiVersion and kind of a document; what it does not say is taken as wanted."""
    if value is None:
        return wanted
    if not isinstance(value, dict):
        raise errors.Unreadable(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {walk.json_type(value)} "
            f"into Go value of type {_TYPE_META}"
        )
    api_version, kind = value.get("apiVersion"), value.get("kind")
    for field, text in (("apiVersion", api_version), ("kind", kind)):
        if text is not None and not isinstance(text, str):
            raise errors.Unreadable(
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {walk.json_type(text)} "
                f"into Go struct field .{field} of type string"
            )
    if api_version and api_version.count("/") > 1:
        raise errors.Unreadable(f"unexpected GroupVersion string: {api_version}")
    return api_version or wanted[0], kind or wanted[1]


def _match(source: SchemaSource, wanted: tuple[str, str], actual: tuple[str, str]) -> Definition:
    """The definition to decode with; raises StatusError when the document is of another kind than wanted."""
    expected = source.find(*wanted) or schema.unknown_kind()
    if actual == wanted:
        return expected
    found = source.find(*actual)
    if found is expected:
        return expected
    (group, _, version), (wanted_group, _, _) = actual[0].rpartition("/"), wanted[0].rpartition("/")
    if found is None:
        reason = f'no kind "{actual[1]}" is registered for version "{actual[0]}" in scheme "sampan"'
        raise _unfit(actual, wanted[1], reason)
    if (group, actual[1]) != (wanted_group, wanted[1]):
        internal = f"{wanted_group.partition('.')[0] or 'core'}.{wanted[1]}"
        reason = f"converting ({version}.{actual[1]}) to ({internal}): unknown conversion"
        raise _unfit(actual, wanted[1], reason)
    raise errors.bad_request(
        f"the API version in the data ({actual[0]}) does not match the expected API version ({wanted[0]})"
    )


# --- how refusals read ---


def _unfit(actual: tuple[str, str], wanted_kind: str, reason: str) -> StatusError:
    version = actual[0].rpartition("/")[2]
    return errors.bad_request(
        f'{actual[1]} in version "{version}" cannot be handled as a {wanted_kind}: {reason}'
    )


def _unrecognized(wanted_kind: str, reason: str, data: bytes) -> StatusError:
    return errors.bad_request(
        f"the object provided is unrecognized (must be of type {wanted_kind}): {reason} ({_summary(data)})"
    )


_SUMMARY_BYTES = 30


def _summary(data: bytes) -> str:
    if not data:
        return "<empty>"
    start = data[:_SUMMARY_BYTES]
    text = start.decode(errors="replace") if data.startswith(b"{") else start.hex()
    return text if len(data) <= _SUMMARY_BYTES else f"{text} ..."


def _json(obj: Obj) -> str:
    return orjson.dumps(obj).decode()


def _bad_outcome(shown: str, reason: str) -> StatusError:
    """422 as a patch gets it whose outcome is no object of the kind: the kind and name are not said."""
    message = f"Invalid value: {errors.show(shown)}: {reason}"
    cause = {"reason": "FieldValueInvalid", "message": message, "field": "patch"}
    return errors.status_error(422, "Invalid", f' "" is invalid: patch: {message}', {"causes": [cause]})
