from __future__ import annotations

import pytest

from sampan.api.request import UserInfo
from sampan.apiserver.authz import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    NODES_GROUP,
    Attributes,
    AuthenticatedMay,
    Confining,
    Nothing,
    refusal,
)

USER = UserInfo("eve", (AUTHENTICATED,))
NODE = UserInfo("system:node:n1", (NODES_GROUP, AUTHENTICATED))
MASTER_NODE = UserInfo("root", (NODES_GROUP, MASTERS, AUTHENTICATED))
READ = Attributes("get", "", "pods", "", "default", "web")


def test_everybody_the_server_knows_may_do_everything() -> None:
    authorizer = AuthenticatedMay()
    assert authorizer.allows(USER, READ) and not authorizer.allows(ANONYMOUS, READ)
    assert authorizer.rules(ANONYMOUS, "default") == ([], [])
    resources, paths = authorizer.rules(USER, "default")
    assert resources == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert paths == [{"verbs": ["*"], "nonResourceURLs": ["*"]}]


@pytest.mark.parametrize(
    ("user", "allowed"), [(USER, True), (NODE, False), (MASTER_NODE, True), (ANONYMOUS, False)]
)
def test_a_group_is_confined_unless_its_member_is_a_master(user: UserInfo, allowed: bool) -> None:
    authorizer = Confining({NODES_GROUP: Nothing()}, AuthenticatedMay())
    assert authorizer.allows(user, READ) is allowed
    assert bool(authorizer.rules(user, "default")[0]) is allowed


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (READ, 'cannot get resource "pods" in API group "" in the namespace "default"'),
        (
            Attributes("update", "apps", "deployments", "scale", "ns"),
            'cannot update resource "deployments/scale" in API group "apps" in the namespace "ns"',
        ),
        (
            Attributes("list", "", "nodes"),
            'cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (Attributes("get", path="/metrics"), 'cannot get path "/metrics"'),
    ],
)
def test_a_refusal_says_what_was_asked_and_by_whom(wanted: Attributes, said: str) -> None:
    assert refusal(USER, wanted) == f'User "eve" {said}'
