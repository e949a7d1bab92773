from __future__ import annotations

import asyncio

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS
from sampan.apiserver.admission.serviceaccount import TOKEN_MOUNT


async def test_every_container_gets_the_token_unless_it_has_its_own(api, pod) -> None:
    body = pod("a")
    own = {"name": "mine", "mountPath": TOKEN_MOUNT}
    body["spec"]["containers"].append({"name": "d", "image": "x", "volumeMounts": [own]})
    body["spec"]["volumes"] = [{"name": "mine", "emptyDir": {}}]
    made = (await api.create(PODS, body))["spec"]
    assert made["serviceAccountName"] == "default"
    volume = made["volumes"][1]
    assert volume["name"].startswith("kube-api-access-") and volume["projected"]["defaultMode"] == 420
    mount = {"name": volume["name"], "readOnly": True, "mountPath": TOKEN_MOUNT}
    assert made["containers"][0]["volumeMounts"] == [mount]
    assert [item["name"] for item in made["containers"][1]["volumeMounts"]] == ["mine"]


@pytest.mark.parametrize("by_pod", [True, False])
async def test_no_token_where_none_is_wanted(api, pod, by_pod: bool) -> None:
    body = pod("a")
    if by_pod:
        body["spec"]["automountServiceAccountToken"] = False
    else:
        await api.call("patch", SERVICE_ACCOUNTS, "default", {"automountServiceAccountToken": False})
    assert "volumes" not in (await api.create(PODS, body))["spec"]


async def test_a_missing_account_is_named(api, pod) -> None:
    body = pod("a")
    body["spec"]["serviceAccountName"] = "nobody"
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert caught.value.code == 403
    assert 'error looking up service account default/nobody: serviceaccount "nobody" not found' in (
        caught.value.message
    )


async def test_a_pod_waits_for_the_default_account_of_a_new_namespace(api, pod) -> None:
    await api.create(NAMESPACES, {"metadata": {"name": "t"}})
    made = asyncio.ensure_future(api.create(PODS, pod("a"), namespace="t"))
    await asyncio.sleep(0.01)
    assert not made.done()
    await api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace="t")
    assert (await made)["spec"]["serviceAccountName"] == "default"
