"""Acting as somebody else for one request: the Impersonate- headers (`kubectl --as` and its kin).

Whoever asks must be allowed to impersonate every part of whom he wants to be; the request is then judged as
that user's, and what the asker may do himself counts no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from sampan.api import errors
from sampan.api.request import UserInfo
from sampan.api.resources import Resource
from sampan.apiserver.authz import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, Attributes, Authorizer, refusal

HEADERS = frozenset(("impersonate-user", "impersonate-group", "impersonate-uid"))
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def impersonated(user: UserInfo, headers: Mapping[str, str], authorizer: Authorizer) -> UserInfo:
    """Whom the request is judged as; 403 for who may not, 500 (upstream's code) without a user's name."""
    if HEADERS.isdisjoint(headers):
        return user
    name = headers.get("impersonate-user", "")
    # Headers that are there several times have been joined.
    groups = [group for text in headers.get("impersonate-group", "").split(",") if (group := text.strip())]
    uid = headers.get("impersonate-uid", "")
    extra = dict(_extra(headers))
    if not name:
        raise errors.internal("requested groups, uid or extra without impersonating a user")
    for wanted in _parts(name, groups, uid, extra):
        if not authorizer.allows(user, wanted):
            kind = Resource(wanted.group, "v1", "", wanted.resource, "", bool(wanted.namespace))
            raise errors.forbidden(kind, wanted.name, refusal(user, wanted))
    return UserInfo(name, tuple(_groups(name, groups)), uid, extra)


def _extra(headers: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for header, text in headers.items():
        if header.startswith(_EXTRA):
            yield unquote(header.removeprefix(_EXTRA)), tuple(part.strip() for part in text.split(","))


def _parts(
    name: str, groups: list[str], uid: str, extra: Mapping[str, tuple[str, ...]]
) -> Iterator[Attributes]:
    if (account := _account(name)) is not None:
        yield Attributes("impersonate", "", "serviceaccounts", "", *account)
    else:
        yield Attributes("impersonate", "", "users", name=name)
    for group in groups:
        yield Attributes("impersonate", "", "groups", name=group)
    for key, values in extra.items():
        for value in values:
            yield Attributes("impersonate", _AUTHENTICATION, "userextras", key, name=value)
    if uid:
        yield Attributes("impersonate", _AUTHENTICATION, "uids", name=uid)


def _groups(name: str, asked: list[str]) -> Iterator[str]:
    yield from asked
    if (account := _account(name)) is not None and not asked:
        yield from ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    added = UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED
    if AUTHENTICATED not in asked and UNAUTHENTICATED not in asked:
        yield added


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name, if it is a service account's."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(_ACCOUNT) and namespace and account else None
