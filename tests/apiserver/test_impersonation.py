from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.request import UserInfo
from sampan.apiserver.authz import Attributes, AuthenticatedMay
from sampan.apiserver.impersonation import impersonated

ADMIN = UserInfo("admin", ("system:authenticated",))


class Except(AuthenticatedMay):
    """Lets nobody be one of these."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def allows(self, user: UserInfo, wanted: Attributes) -> bool:
        return wanted.name not in self.names


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ({}, ADMIN),
        ({"impersonate-user": "bob"}, UserInfo("bob", ("system:authenticated",))),
        (
            {"impersonate-user": "bob", "impersonate-group": "a,b", "impersonate-uid": "7"},
            UserInfo("bob", ("a", "b", "system:authenticated"), "7"),
        ),
        (
            {"impersonate-user": "bob", "impersonate-extra-example.com%2fscope": "x,y"},
            UserInfo("bob", ("system:authenticated",), "", {"example.com/scope": ("x", "y")}),
        ),
        (
            {"impersonate-user": "system:serviceaccount:shop:web"},
            UserInfo(
                "system:serviceaccount:shop:web",
                ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
            ),
        ),
        ({"impersonate-user": "system:anonymous"}, UserInfo("system:anonymous", ("system:unauthenticated",))),
    ],
)
def test_a_request_is_judged_as_whom_it_names(headers: dict[str, str], user: UserInfo) -> None:
    assert impersonated(ADMIN, headers, AuthenticatedMay()) == user


def test_each_part_must_be_allowed() -> None:
    headers = {"impersonate-user": "bob", "impersonate-group": "a,root"}
    with pytest.raises(StatusError) as caught:
        impersonated(ADMIN, headers, Except("root"))
    assert caught.value.code == 403
    assert caught.value.message == (
        'groups "root" is forbidden: User "admin" cannot impersonate resource "groups" in API group "" '
        "at the cluster scope"
    )
    with pytest.raises(StatusError, match=r'serviceaccounts "web" is forbidden.* in the namespace "shop"'):
        impersonated(ADMIN, {"impersonate-user": "system:serviceaccount:shop:web"}, Except("web"))


def test_a_group_without_a_user_is_refused_and_not_passed_over() -> None:
    with pytest.raises(StatusError) as caught:
        impersonated(ADMIN, {"impersonate-group": "a"}, AuthenticatedMay())
    assert caught.value.code == 500
