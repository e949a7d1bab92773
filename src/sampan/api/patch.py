"""Patches: JSON patch (RFC 6902), JSON merge patch (RFC 7386), and strategic merge patch.

All three answer a new document and leave the old one as it was; nothing is shared between the two. What
comes out still has to pass `decode.prune`, defaulting and validation. Refusals are StatusErrors as
upstream's.
"""

from __future__ import annotations

from typing import Any

import orjson

from sampan.api import body, errors, json_pointer, schema, strategic
from sampan.api.errors import StatusError
from sampan.api.json_pointer import PointerError
from sampan.api.objects import Obj
from sampan.api.request import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from sampan.api.schema import SchemaSource

TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH)
"""The content types that are patches."""

MAX_JSON_PATCH_OPERATIONS = 10_000
# What all `copy` operations of one patch may add up to: otherwise a few of them double a document to death.
MAX_COPIED_BYTES = 3 * 1024 * 1024


def parse(data: bytes) -> Any:
    """The body of a patch request; raises StatusError 400."""
    try:
        return body.read_json(data)
    except errors.Unreadable as error:
        raise errors.bad_request(str(error)) from None


def apply(document: Obj, patch: Any, content_type: str, api_version: str, kind: str) -> Obj:
    """The patched document, by the kind of patch that the content type names; 415 if it names none."""
    if content_type == JSON_PATCH:
        return json_patch(document, patch)
    if content_type == MERGE_PATCH:
        return merge_patch(document, patch)
    if content_type == STRATEGIC_MERGE_PATCH:
        return strategic_merge_patch(document, patch, api_version, kind)
    raise not_a_patch()


def not_a_patch() -> StatusError:
    return errors.unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(TYPES)
    )


def copy(document: Any) -> Any:
    """A deep copy of a JSON value: a tenth of what `copy.deepcopy` takes."""
    return orjson.loads(orjson.dumps(document))


def _bounded(result: Obj, *sources: bytes) -> Obj:
    """A patch can put depth upon depth; what comes out is held to the limit of what comes in.

    `sources` is what the result was merged from: it cannot be deeper than all the brackets in there.
    """
    brackets = sum(text.count(b"{") + text.count(b"[") for text in sources) or body.MAX_DEPTH + 1
    try:
        body.check_depth(result, brackets)
    except errors.Unreadable as error:
        raise errors.bad_request(str(error)) from None
    return result


# --- JSON merge patch ---


def merge_patch(document: Obj, patch: Any) -> Obj:
    """RFC 7386: objects merge, null removes, everything else replaces. 400 when the patch is no object."""
    if not isinstance(patch, dict):
        raise errors.bad_request(f"invalid patch: expected an object, got {_kind(patch)}")
    old, change = orjson.dumps(document), orjson.dumps(patch)
    merged: Obj = _merged(orjson.loads(old), orjson.loads(change))
    return _bounded(merged, old, change)


def _merged(target: Any, patch: Any) -> Any:
    """Consumes both."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = _merged(target.get(key), value)
    return target


# --- JSON patch ---


def json_patch(document: Obj, operations: Any) -> Obj:
    """RFC 6902. All operations or none: 400 for what is no patch, 422 for one that cannot be applied."""
    if not isinstance(operations, list) or not all(isinstance(item, dict) for item in operations):
        raise errors.bad_request("invalid JSON patch: expected an array of operations")
    if len(operations) > MAX_JSON_PATCH_OPERATIONS:
        raise errors.too_large(
            f"The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, "
            f"got {len(operations)}"
        )
    result = {"": copy(document)}
    copied_bytes = 0
    for operation in operations:
        name = operation.get("op")
        apply = _OPERATIONS.get(name) if isinstance(name, str) else None
        if apply is None:
            raise _inapplicable(f"Unexpected kind: {name if isinstance(name, str) else 'unknown'}")
        try:
            copied_bytes += apply(result, operation)
        except PointerError as error:
            raise _inapplicable(str(error)) from None
        if copied_bytes > MAX_COPIED_BYTES:
            raise _inapplicable(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{copied_bytes}, exceeding the limit {MAX_COPIED_BYTES}"
            )
    if not isinstance(result[""], dict):
        raise _inapplicable("the patched document is not an object")
    return _bounded(result[""])


# The document hangs under "" of a root object, so that the whole of it can be replaced like any member.
# Each operation answers how many bytes it copied within the document.


def _add(root: Obj, operation: Obj) -> int:
    json_pointer.add(root, _path(operation, "path", "add"), copy(operation.get("value")), "add")
    return 0


def _remove(root: Obj, operation: Obj) -> int:
    json_pointer.remove(root, _path(operation, "path", "remove"), "remove")
    return 0


def _replace(root: Obj, operation: Obj) -> int:
    json_pointer.replace(root, _path(operation, "path", "replace"), copy(operation.get("value")))
    return 0


def _move(root: Obj, operation: Obj) -> int:
    source, target = _path(operation, "from", "move"), _path(operation, "path", "move")
    if json_pointer.is_within(target, source):
        reason = f"doc is missing destination path: {target}: missing value"
        raise PointerError(f"move operation does not apply: {reason}")
    value = json_pointer.remove(root, source, "move")
    json_pointer.add(root, target, value, "move")
    return 0


def _copy(root: Obj, operation: Obj) -> int:
    value = json_pointer.get(root, _path(operation, "from", "copy"), "copy")
    try:
        text = orjson.dumps(None if value is json_pointer.MISSING else value)
    except orjson.JSONEncodeError:
        raise PointerError("copy operation does not apply: exceeded max depth") from None
    json_pointer.add(root, _path(operation, "path", "copy"), orjson.loads(text), "copy")
    return len(text)


def _test(root: Obj, operation: Obj) -> int:
    path = _path(operation, "path", "test")
    found = json_pointer.get(root, path, "test")
    # As upstream has it: what is missing equals null.
    if not _equal(None if found is json_pointer.MISSING else found, operation.get("value")):
        raise PointerError(f"testing value {path} failed: test failed")
    return 0


_OPERATIONS = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _path(operation: Obj, member: str, name: str) -> str:
    path = operation.get(member)
    if not isinstance(path, str):
        raise PointerError(f"{name} operation failed to decode {member}: missing value")
    return path


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: unlike Python's, `true` is not 1; like RFC 6902's, 1 is 1.0."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _inapplicable(reason: str) -> StatusError:
    return errors.status_error(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        {"causes": [{"reason": "UnexpectedServerResponse", "message": reason}]},
    )


# --- strategic merge patch ---


def strategic_merge_patch(
    document: Obj, patch: Any, api_version: str, kind: str, schemas: SchemaSource | None = None
) -> Obj:
    """A merge patch that knows lists with merge keys and `$` directives; the keys come from the kind's
    schema.

    415 for kinds without one (custom resources), 400 for a patch that is none.
    """
    definition = (schemas or schema.built_in()).find(api_version, kind)
    if definition is None:
        raise errors.unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json"
        )
    if not isinstance(patch, dict):
        raise errors.bad_request(f"invalid patch: expected an object, got {_kind(patch)}")
    old, change = orjson.dumps(document), orjson.dumps(patch)
    try:
        return _bounded(strategic.merge(orjson.loads(old), orjson.loads(change), definition), old, change)
    except strategic.BadPatch as error:
        raise errors.bad_request(str(error)) from None


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
