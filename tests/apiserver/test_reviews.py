from __future__ import annotations

import pytest

from sampan.api import resources
from sampan.api.errors import StatusError
from sampan.api.resources import SERVICE_ACCOUNTS

AUTHN, AUTHZ = "authentication.k8s.io", "authorization.k8s.io"


async def ask(api, group: str, plural: str, body, namespace: str = "default"):
    answer = await api.call("create", resources.resource(group, "v1", plural), "", body, namespace=namespace)
    return answer["status"]


async def test_who_am_i(api) -> None:
    status = await ask(api, AUTHN, "selfsubjectreviews", {})
    assert status["userInfo"] == {"username": "tester", "groups": ["system:authenticated"]}


async def test_may_i_and_may_a_stranger(api) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    assert await ask(
        api, AUTHZ, "selfsubjectaccessreviews", {"spec": {"resourceAttributes": attributes}}
    ) == {"allowed": True}
    spec = {"user": "eve", "groups": ["system:unauthenticated"], "resourceAttributes": attributes}
    status = await ask(api, AUTHZ, "subjectaccessreviews", {"spec": spec})
    assert status == {
        "allowed": False,
        "reason": 'User "eve" cannot get resource "pods" in API group "" in the namespace "default"',
    }
    local = await ask(api, AUTHZ, "localsubjectaccessreviews", {"spec": spec})
    assert local["allowed"] is False


async def test_a_question_must_be_one(api) -> None:
    with pytest.raises(StatusError) as caught:
        await ask(api, AUTHZ, "selfsubjectaccessreviews", {"spec": {}})
    assert caught.value.code == 422


async def test_is_this_token_good(api) -> None:
    made = await api.call("create", SERVICE_ACCOUNTS, "default", {"spec": {}}, sub="token")
    token = made["status"]["token"]
    status = await ask(api, AUTHN, "tokenreviews", {"spec": {"token": token}})
    assert status["authenticated"] and status["user"]["username"] == "system:serviceaccount:default:default"
    status = await ask(api, AUTHN, "tokenreviews", {"spec": {"token": token, "audiences": ["vault"]}})
    assert not status["authenticated"] and "audiences" in status["error"]


async def test_what_may_i(api) -> None:
    status = await ask(api, AUTHZ, "selfsubjectrulesreviews", {"spec": {"namespace": "default"}})
    assert status["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
