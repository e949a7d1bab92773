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


@pytest.mark.parametrize(
    ("by_pod", "by_account", "mounted"),
    [
        (None, None, True),
        (None, True, True),
        (None, False, False),
        (True, None, True),
        (True, False, True),
        (False, None, False),
        (False, True, False),
    ],
)
async def test_who_decides_whether_a_token_is_mounted(api, pod, by_pod, by_account, mounted) -> None:
    await api.call("patch", SERVICE_ACCOUNTS, "default", {"automountServiceAccountToken": by_account})
    body = pod("a")
    if by_pod is not None:
        body["spec"]["automountServiceAccountToken"] = by_pod
    assert ("volumes" in (await api.create(PODS, body))["spec"]) is mounted


async def test_the_accounts_secrets_to_pull_with(api, pod) -> None:
    await api.call("patch", SERVICE_ACCOUNTS, "default", {"imagePullSecrets": [{"name": "reg"}]})
    assert (await api.create(PODS, pod("a")))["spec"]["imagePullSecrets"] == [{"name": "reg"}]
    body = pod("b")
    body["spec"]["imagePullSecrets"] = [{"name": "own"}]
    assert (await api.create(PODS, body))["spec"]["imagePullSecrets"] == [{"name": "own"}]


async def test_a_copied_pod_brings_its_token_volume_along(api, pod) -> None:
    made = await api.create(PODS, pod("a"))
    spec = {**made["spec"], "containers": pod("b")["spec"]["containers"]}
    copied = (await api.create(PODS, {"metadata": {"name": "b"}, "spec": spec}))["spec"]
    assert copied["volumes"] == made["spec"]["volumes"]
    assert copied["containers"][0]["volumeMounts"][0]["name"] == made["spec"]["volumes"][0]["name"]


SECRET_REF = {"name": "s", "key": "k"}


@pytest.mark.parametrize(
    ("spec", "container", "why"),
    [
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
            {},
            'volume with secret.secretName="s" is not allowed because '
            "service account default does not reference that secret",
        ),
        (
            {},
            {"env": [{"name": "A{B}", "valueFrom": {"secretKeyRef": SECRET_REF}}]},
            'container c with envVar A{B} referencing secret.secretName="s" is not allowed because '
            "service account default does not reference that secret",
        ),
        (
            {},
            {"envFrom": [{"secretRef": {"name": "s"}}]},
            'container c with envFrom referencing secret.secretName="s" is not allowed because '
            "service account default does not reference that secret",
        ),
        (
            {"imagePullSecrets": [{"name": "s"}]},
            {},
            'imagePullSecrets[0].name="s" is not allowed because '
            "service account default does not reference that imagePullSecret",
        ),
    ],
)
async def test_an_account_may_list_what_its_pods_use(api, pod, spec, container, why) -> None:
    body = pod("a")
    body["spec"] |= spec
    body["spec"]["containers"][0] |= container
    await api.create(PODS, {**body, "metadata": {"name": "free"}})
    strict = {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
    await api.call("patch", SERVICE_ACCOUNTS, "default", strict)
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert (caught.value.code, caught.value.message) == (403, f'pods "a" is forbidden: {why}')
    listed = {"secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "s"}]}
    await api.call("patch", SERVICE_ACCOUNTS, "default", listed)
    await api.create(PODS, body)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"serviceAccountName": "default"}, "a mirror pod may not reference service accounts"),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
            "a mirror pod may not reference secrets",
        ),
    ],
)
async def test_mirror_pods_get_nothing_of_the_api(api, pod, spec, why) -> None:
    body = pod("a", "n1", annotations={"kubernetes.io/config.mirror": "x"})
    made = await api.create(PODS, {**body, "metadata": {**body["metadata"], "name": "free"}})
    assert "serviceAccountName" not in made["spec"] and "volumes" not in made["spec"]
    body["spec"] |= spec
    with pytest.raises(StatusError) as caught:
        await api.create(PODS, body)
    assert why in caught.value.message
