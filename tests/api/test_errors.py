"""Refusals word for word: kubectl and client libraries match on these texts, codes and reasons."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api import errors
from sampan.api.errors import FieldError, StatusError
from sampan.api.objects import Obj
from sampan.api.resources import DEPLOYMENTS, PODS

POD = {"name": "web", "kind": "pods"}
DEPLOYMENT = {"name": "web", "group": "apps", "kind": "deployments"}


@pytest.mark.parametrize(
    ("error", "code", "reason", "message", "details"),
    [
        (errors.not_found(PODS, "web"), 404, "NotFound", 'pods "web" not found', POD),
        (
            errors.not_found(DEPLOYMENTS, "web"),
            404,
            "NotFound",
            'deployments.apps "web" not found',
            DEPLOYMENT,
        ),
        (errors.already_exists(PODS, "web"), 409, "AlreadyExists", 'pods "web" already exists', POD),
        (
            errors.conflict(DEPLOYMENTS, "web"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; '
            "please apply your changes to the latest version and try again",
            DEPLOYMENT,
        ),
        (
            errors.forbidden(PODS, "web", "no rights"),
            403,
            "Forbidden",
            'pods "web" is forbidden: no rights',
            POD,
        ),
        (
            errors.forbidden(PODS, "", "no rights"),
            403,
            "Forbidden",
            "pods is forbidden: no rights",
            {"kind": "pods"},
        ),
        (errors.unauthorized(), 401, "Unauthorized", "Unauthorized", None),
        (errors.bad_request("no"), 400, "BadRequest", "no", None),
        (errors.no_such_path(), 404, "NotFound", "the server could not find the requested resource", None),
        (
            errors.method_not_allowed(),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
            None,
        ),
        (errors.not_acceptable("no"), 406, "NotAcceptable", "no", None),
        (errors.unsupported_media_type("no"), 415, "UnsupportedMediaType", "no", None),
        (errors.too_large("no"), 413, "RequestEntityTooLarge", "no", None),
        (errors.expired("too old"), 410, "Expired", "too old", None),
        (
            errors.internal("boom"),
            500,
            "InternalError",
            "Internal error occurred: boom",
            {"causes": [{"message": "boom"}]},
        ),
        (errors.unavailable("no"), 503, "ServiceUnavailable", "no", None),
        (errors.timeout("late"), 504, "Timeout", "late", {"retryAfterSeconds": 1}),
    ],
    ids=lambda value: value.reason if isinstance(value, StatusError) else "",
)
def test_a_refusal_is_a_status_object(
    error: StatusError, code: int, reason: str, message: str, details: Obj | None
) -> None:
    whole = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    whole |= {"message": message, "reason": reason, "code": code}
    assert error.status == (whole | {"details": details} if details else whole)
    assert (error.code, error.reason, error.message, str(error)) == (code, reason, message, message)


def test_who_asks_too_often_is_told_when_to_come_again() -> None:
    error = errors.too_many_requests("later", 7)
    assert (error.code, error.status["details"]) == (429, {"retryAfterSeconds": 7})
    assert error.headers == {"Retry-After": "7"}


def test_an_expired_list_can_be_gone_on_with_where_there_is_a_token() -> None:
    assert errors.expired("too old", "abc").status["metadata"] == {"continue": "abc"}


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (errors.required("spec.x"), "FieldValueRequired", "spec.x: Required value"),
        (errors.required("spec.x", "say it"), "FieldValueRequired", "spec.x: Required value: say it"),
        (
            errors.invalid_value("spec.x", -1, "must be more"),
            "FieldValueInvalid",
            "spec.x: Invalid value: -1: must be more",
        ),
        (errors.invalid_value("spec.x", 'a"b'), "FieldValueInvalid", r'spec.x: Invalid value: "a\"b"'),
        (errors.invalid_value("spec.x", None), "FieldValueInvalid", "spec.x: Invalid value: null"),
        (errors.invalid_value("spec.x", {"a": [1]}), "FieldValueInvalid", 'spec.x: Invalid value: {"a":[1]}'),
        (
            errors.not_supported("spec.x", "C", ["B", "A"]),
            "FieldValueNotSupported",
            'spec.x: Unsupported value: "C": supported values: "A", "B"',
        ),
        (errors.duplicate("spec.x[1]", "a"), "FieldValueDuplicate", 'spec.x[1]: Duplicate value: "a"'),
        (errors.value_not_found("spec.x", "v"), "FieldValueNotFound", 'spec.x: Not found: "v"'),
        (errors.forbidden_value("spec", "no"), "FieldValueForbidden", "spec: Forbidden: no"),
        (
            errors.too_long("spec.x", 63),
            "FieldValueTooLong",
            "spec.x: Too long: may not be more than 63 bytes",
        ),
        (
            errors.too_many("spec.x", 3, 2),
            "FieldValueTooMany",
            "spec.x: Too many: 3: must have at most 2 items",
        ),
        (errors.required(""), "FieldValueRequired", "Required value"),
    ],
    ids=lambda value: value.reason if isinstance(value, FieldError) else "",
)
def test_a_broken_rule_says_where_and_what(error: FieldError, reason: str, text: str) -> None:
    assert (error.reason, error.text) == (reason, text)


def test_one_broken_rule_stands_alone_and_several_in_brackets() -> None:
    one, other = errors.required("spec.a"), errors.required("spec.b")
    assert errors.invalid(PODS, "web", [one]).message == ('Pod "web" is invalid: spec.a: Required value')
    assert errors.invalid(DEPLOYMENTS, "web", [one, other]).message == (
        'Deployment.apps "web" is invalid: [spec.a: Required value, spec.b: Required value]'
    )


def test_the_same_said_twice_is_one_text_but_two_causes() -> None:
    twice = [errors.required("spec.a")] * 2
    found = errors.invalid(PODS, "web", twice)
    assert found.message == 'Pod "web" is invalid: spec.a: Required value'
    cause = {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.a"}
    assert found.status["details"] == {"name": "web", "kind": "Pod", "causes": [cause, cause]}


def test_details_leave_out_what_is_empty() -> None:
    details: dict[str, Any] = errors.invalid(DEPLOYMENTS, "", [errors.required("metadata.name")]).status[
        "details"
    ]
    assert details.keys() == {"group", "kind", "causes"}
    assert details["group"] == "apps"
