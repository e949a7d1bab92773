"""Who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from sampan.api.request import UserInfo

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"
NODES_GROUP = "system:nodes"
BOOTSTRAPPERS = "system:bootstrappers"
KUBELET_CALLER, KUBELET_CALLERS = "kube-apiserver-kubelet-client", "sampan:kubelet-callers"
"""Whom a node's own server lets in: the API server, with a certificate of its own for that."""
ANONYMOUS = UserInfo("system:anonymous", (UNAUTHENTICATED,))


class Attributes(NamedTuple):
    """authorization.k8s.io's ResourceAttributes, or a `path` that is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer(Protocol):
    def allows(self, user: UserInfo, wanted: Attributes) -> bool: ...

    def rules(
        self, user: UserInfo, namespace: str
    ) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
        """Resource rules and non-resource rules, as SelfSubjectRulesReview shows them."""


class AuthenticatedMay:
    """Everybody the server knows may do everything."""

    def allows(self, user: UserInfo, wanted: Attributes) -> bool:
        return AUTHENTICATED in user.groups

    def rules(
        self, user: UserInfo, namespace: str
    ) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
        if AUTHENTICATED not in user.groups:
            return [], []
        everything = ["*"]
        return (
            [{"verbs": everything, "apiGroups": everything, "resources": everything}],
            [{"verbs": everything, "nonResourceURLs": everything}],
        )


class Confining:
    """Members of some groups may do what their group's own authorizer says, and nothing else.

    All others (and whoever is a master besides) are `otherwise`'s to judge.
    """

    def __init__(self, groups: Mapping[str, Authorizer], otherwise: Authorizer) -> None:
        self._groups, self._otherwise = groups, otherwise

    def allows(self, user: UserInfo, wanted: Attributes) -> bool:
        return self._of(user).allows(user, wanted)

    def rules(
        self, user: UserInfo, namespace: str
    ) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
        return self._of(user).rules(user, namespace)

    def _of(self, user: UserInfo) -> Authorizer:
        if MASTERS not in user.groups:
            for group in user.groups:
                if (confined := self._groups.get(group)) is not None:
                    return confined
        return self._otherwise


class Nothing:
    """May nothing here: what the API server shows to nodes opens no door, should one lead back to it."""

    def allows(self, user: UserInfo, wanted: Attributes) -> bool:
        return False

    def rules(
        self, user: UserInfo, namespace: str
    ) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]]]:
        return [], []


def refusal(user: UserInfo, wanted: Attributes) -> str:
    """Why, in RBAC's words."""
    if wanted.path:
        return f'User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    resource = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    where = f' in the namespace "{wanted.namespace}"' if wanted.namespace else " at the cluster scope"
    return (
        f'User "{user.name}" cannot {wanted.verb} resource "{resource}" in API group "{wanted.group}"{where}'
    )
