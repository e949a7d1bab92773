"""Which patch a content type means."""

from __future__ import annotations

from typing import Any

from sampan.api import errors, patch
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH

PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH)


def apply_patch(obj: Obj, body: Any, content_type: str, kind: tuple[str, str]) -> Obj:
    """The patched object; 415 for a content type that is no patch."""
    if content_type == JSON_PATCH:
        return patch.json_patch(obj, body)
    if content_type == MERGE_PATCH:
        return patch.merge_patch(obj, body)
    if content_type == STRATEGIC_MERGE_PATCH:
        return patch.strategic_merge_patch(obj, body, *kind)
    raise not_a_patch()


def not_a_patch() -> StatusError:
    return errors.unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(PATCH_TYPES)
    )
