from __future__ import annotations

from typing import Any

import orjson
import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import NODES, PODS, SERVICE_ACCOUNTS
from sampan.apiserver import tokens
from sampan.apiserver.tokens import InvalidToken


async def issue(api, **spec: Any) -> Obj:
    return await api.call("create", SERVICE_ACCOUNTS, "default", {"spec": spec}, sub="token")


def claims_of(token: str) -> Obj:
    return orjson.loads(tokens._unb64(token.split(".")[1]))


async def test_a_token_says_who_and_is_good_for_the_api(api) -> None:
    answer = await issue(api)
    user, audiences = api.server.tokens.authenticate(answer["status"]["token"])
    assert user.name == "system:serviceaccount:default:default"
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    )
    assert audiences == ["https://kubernetes.default.svc.cluster.local"]
    assert answer["spec"]["expirationSeconds"] == 3600


async def test_a_token_for_others_is_not_for_the_api(api) -> None:
    token = (await issue(api, audiences=["vault"]))["status"]["token"]
    with pytest.raises(InvalidToken):
        api.server.tokens.authenticate(token)
    assert api.server.tokens.authenticate(token, ["vault", "x"])[1] == ["vault"]


async def test_a_token_dies_with_its_pod(api, pod) -> None:
    await api.create(NODES, {"metadata": {"name": "n1"}})
    made = await api.create(PODS, pod("a", "n1"))
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "a", "uid": made["metadata"]["uid"]}
    token = (await issue(api, boundObjectRef=bound, expirationSeconds=3607))["status"]["token"]
    user, _ = api.server.tokens.authenticate(token)
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("a",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    claims = claims_of(token)
    assert claims["exp"] - claims["iat"] == tokens.EXTENDED_LIFETIME_S
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    await api.call("delete", PODS, "a", {"gracePeriodSeconds": 0})
    with pytest.raises(InvalidToken):
        api.server.tokens.authenticate(token)


async def test_a_new_account_of_the_same_name_does_not_inherit(api) -> None:
    token = (await issue(api))["status"]["token"]
    await api.call("delete", SERVICE_ACCOUNTS, "default")
    await api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}})
    with pytest.raises(InvalidToken):
        api.server.tokens.authenticate(token)


async def test_a_token_ends(api, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await issue(api, expirationSeconds=600))["status"]["token"]
    end = claims_of(token)["exp"]
    monkeypatch.setattr(tokens.time, "time", lambda: end + 60.0)
    with pytest.raises(InvalidToken):
        api.server.tokens.authenticate(token)


async def test_a_changed_token_is_refused(api) -> None:
    head, payload, signature = (await issue(api))["status"]["token"].split(".")
    claims = orjson.loads(tokens._unb64(payload)) | {"sub": "system:serviceaccount:kube-system:admin"}
    forged = f"{head}.{tokens._b64(orjson.dumps(claims))}.{signature}"
    none = tokens._b64(orjson.dumps({"alg": "none"}))
    for token in (forged, f"{none}.{payload}.", f"{none}.{payload}.{signature}", "a.b", "", "é.é.é"):
        with pytest.raises(InvalidToken):
            api.server.tokens.authenticate(token)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"expirationSeconds": 60}, 422),
        ({"boundObjectRef": {"kind": "Pod", "name": "none"}}, 404),
        ({"boundObjectRef": {"kind": "Deployment", "name": "x"}}, 400),
    ],
)
async def test_what_cannot_be_issued(api, spec: Obj, code: int) -> None:
    with pytest.raises(StatusError) as caught:
        await issue(api, **spec)
    assert caught.value.code == code


async def test_a_node_gets_tokens_for_its_own_pods_alone(api, pod) -> None:
    for name, node in (("mine", "n1"), ("other", "n2")):
        await api.create(PODS, pod(name, node))
    kubelet = api.server.transport(UserInfo("system:node:n1", ("system:nodes", "system:authenticated")))

    async def ask(**spec: Any) -> Obj:
        return await kubelet.call(
            Request("create", SERVICE_ACCOUNTS, "default", "default", "token", body={"spec": spec})
        )

    bound = {"apiVersion": "v1", "kind": "Pod"}
    assert (await ask(boundObjectRef={**bound, "name": "mine"}))["status"]["token"]
    with pytest.raises(StatusError, match="not bound to a pod"):
        await ask()
    with pytest.raises(StatusError, match="bound to a pod scheduled on a different node"):
        await ask(boundObjectRef={**bound, "name": "other"})
