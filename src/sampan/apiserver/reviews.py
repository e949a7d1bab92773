"""Questions instead of objects: who am I, may I, is this token good. Nothing of it is stored.

Source: reference/access-authn-authz/authorization and .../authentication, "API access to ...".
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import clock, errors
from sampan.api.objects import Obj
from sampan.api.request import UserInfo
from sampan.api.resources import Resource
from sampan.apiserver.authz import Attributes, Authorizer, refusal
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.tokens import InvalidToken, Tokens

GROUPS = ("authentication.k8s.io", "authorization.k8s.io")
_ATTRIBUTES = ("verb", "group", "resource", "subresource", "namespace", "name")


class Reviews:
    def __init__(self, authorizer: Authorizer, tokens: Tokens) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._by_kind: dict[str, Callable[[Call, Obj], Obj]] = {
            "SelfSubjectReview": self._self_subject,
            "TokenReview": self._token,
            "SelfSubjectAccessReview": self._self_access,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._local_access,
            "SelfSubjectRulesReview": self._rules,
        }

    def concerns(self, resource: Resource) -> bool:
        return resource.group in GROUPS

    def answer(self, call: Call, body: Obj) -> Obj:
        """The review with its `status` filled in."""
        body["status"] = self._by_kind[call.resource.kind](call, body)
        body["kind"], body["apiVersion"] = call.resource.kind, call.resource.api_version
        body.setdefault("metadata", {})["creationTimestamp"] = clock.now()
        return body

    def _self_subject(self, call: Call, body: Obj) -> Obj:
        return {"userInfo": user_object(call.user)}

    def _token(self, call: Call, body: Obj) -> Obj:
        spec = body.get("spec") or {}
        try:
            user, audiences = self._tokens.authenticate(spec.get("token", ""), spec.get("audiences") or ())
        except InvalidToken as error:
            return {"authenticated": False, "user": {}, "error": str(error)}
        return {"authenticated": True, "user": user_object(user), "audiences": audiences}

    def _self_access(self, call: Call, body: Obj) -> Obj:
        return self._decide(call.user, body.get("spec") or {})

    def _access(self, call: Call, body: Obj) -> Obj:
        spec = body.get("spec") or {}
        if not spec.get("user") and not spec.get("groups"):
            why = "at least one of user or group must be specified"
            raise errors.invalid(call.resource, "", [errors.invalid_value("spec.user", "", why)])
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        groups = tuple(spec.get("groups") or ())
        return self._decide(UserInfo(spec.get("user", ""), groups, spec.get("uid", ""), extra), spec)

    def _local_access(self, call: Call, body: Obj) -> Obj:
        attributes = (body.get("spec") or {}).get("resourceAttributes") or {}
        if attributes.get("namespace", "") != call.request.namespace:
            field, said = "spec.resourceAttributes.namespace", attributes.get("namespace", "")
            broken = errors.invalid_value(
                field, said, f"must match metadata.namespace {call.request.namespace}"
            )
            raise errors.invalid(call.resource, "", [broken])
        return self._access(call, body)

    def _decide(self, user: UserInfo, spec: Obj) -> Obj:
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if bool(resource) == bool(path):
            kind = Resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "", "", False)
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise errors.invalid(kind, "", [errors.invalid_value("spec.resourceAttributes", None, why)])
        if path:
            wanted = Attributes(path.get("verb", ""), path=path.get("path", ""))
        else:
            wanted = Attributes(**{key: (resource or {}).get(key, "") for key in _ATTRIBUTES})
        if self._authorizer.allows(user, wanted):
            return {"allowed": True}
        return {"allowed": False, "reason": refusal(user, wanted)}

    def _rules(self, call: Call, body: Obj) -> Obj:
        namespace = (body.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        resource_rules, path_rules = self._authorizer.rules(call.user, namespace)
        return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def user_object(user: UserInfo) -> Obj:
    """authentication.k8s.io/v1 UserInfo."""
    shown: Obj = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown
