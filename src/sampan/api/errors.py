"""Errors as the API words them: every refusal is a `Status` object of API conventions' "error" section.

`StatusError` is what every part raises and what every client sees, over HTTPS and in process alike.
Texts follow upstream's forms because clients match on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from sampan.api.objects import Obj

if TYPE_CHECKING:
    from sampan.api.resources import Resource


class Unreadable(ValueError):
    """Not a document of its format; the text is upstream's."""


class StatusError(Exception):
    """A failed request. `status` is the whole Status object; `code` and `reason` are read from it."""

    def __init__(self, status: Obj, headers: dict[str, str] | None = None) -> None:
        super().__init__(status.get("message", ""))
        self.status = status
        self.headers = headers or {}

    @property
    def code(self) -> int:
        return self.status.get("code", 500)

    @property
    def reason(self) -> str:
        return self.status.get("reason", "")

    @property
    def message(self) -> str:
        return self.status.get("message", "")


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule of an object: where, which class of mistake, and upstream's wording of it."""

    field: str
    reason: str
    message: str

    @property
    def text(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", _join("Required value", detail))


def invalid_value(field: str, value: Any, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueInvalid", _join(f"Invalid value: {show(value)}", detail))


def not_supported(field: str, value: Any, supported: Sequence[str]) -> FieldError:
    listed = ", ".join(f'"{item}"' for item in sorted(supported))
    return FieldError(
        field, "FieldValueNotSupported", f"Unsupported value: {show(value)}: supported values: {listed}"
    )


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {show(value)}")


def value_not_found(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueNotFound", f"Not found: {show(value)}")


def forbidden_value(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> FieldError:
    return FieldError(field, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} items")


def show(value: Any) -> str:
    """A value as it stands in a message: strings quoted, numbers and booleans bare, the rest as JSON."""
    return orjson.dumps(value).decode()


def _join(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head


def status_error(
    code: int,
    reason: str,
    message: str,
    details: Obj | None = None,
    headers: dict[str, str] | None = None,
) -> StatusError:
    """`code` is HTTP's, `reason` one of meta/v1's StatusReasons; `headers` go with the answer."""
    status: Obj = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
    }
    if details:
        status["details"] = details
    status["code"] = code
    return StatusError(status, headers)


def not_found(resource: Resource, name: str) -> StatusError:
    return status_error(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def already_exists(resource: Resource, name: str) -> StatusError:
    message = f'{resource.qualified} "{name}" already exists'
    return status_error(409, "AlreadyExists", message, _details(resource, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Resource, name: str, why: str = STALE) -> StatusError:
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return status_error(409, "Conflict", message, _details(resource, name))


def forbidden(resource: Resource, name: str, why: str) -> StatusError:
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return status_error(403, "Forbidden", f"{subject} is forbidden: {why}", _details(resource, name))


def invalid(resource: Resource, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422 with one cause per broken rule; identical texts are said once."""
    unique = list(dict.fromkeys(error.text for error in errors))
    body = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: Obj = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.kind
    details["causes"] = [
        {"reason": error.reason, "message": error.message, "field": error.field} for error in errors
    ]
    return status_error(422, "Invalid", f'{kind} "{name}" is invalid: {body}', details)


def bad_request(message: str) -> StatusError:
    return status_error(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return status_error(401, "Unauthorized", "Unauthorized")


def no_such_path() -> StatusError:
    return status_error(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    return status_error(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
    )


def not_acceptable(message: str) -> StatusError:
    return status_error(406, "NotAcceptable", message)


def unsupported_media_type(message: str) -> StatusError:
    return status_error(415, "UnsupportedMediaType", message)


def too_large(message: str) -> StatusError:
    return status_error(413, "RequestEntityTooLarge", message)


def expired(message: str, continue_token: str = "") -> StatusError:
    """410: the revision asked for is no longer kept."""
    error = status_error(410, "Expired", message)
    if continue_token:
        error.status["metadata"]["continue"] = continue_token
    return error


def too_many_requests(message: str, retry_after_s: int) -> StatusError:
    """With 0, when to try again is not said."""
    if not retry_after_s:
        return status_error(429, "TooManyRequests", message, {})
    return status_error(
        429,
        "TooManyRequests",
        message,
        {"retryAfterSeconds": retry_after_s},
        {"Retry-After": str(retry_after_s)},
    )


def internal(message: str) -> StatusError:
    text = f"Internal error occurred: {message}"
    return status_error(500, "InternalError", text, {"causes": [{"message": message}]})


def unavailable(message: str) -> StatusError:
    return status_error(503, "ServiceUnavailable", message)


def timeout(message: str, retry_after_s: int = 1) -> StatusError:
    return status_error(504, "Timeout", message, {"retryAfterSeconds": retry_after_s})


def _details(resource: Resource, name: str) -> Obj:
    details: Obj = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details
