from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness import certificates
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import STRATEGIC_MERGE_PATCH, Request, UserInfo
from sampan.api.resources import CERTIFICATE_REQUESTS, LEASES, NODES, PODS, Resource
from sampan.apiserver.admission.noderestriction import node_of

GROUPS = ("system:nodes", "system:authenticated")
N1 = UserInfo("system:node:n1", GROUPS)
MIRROR = {"kubernetes.io/config.mirror": "x"}


@pytest.mark.parametrize(
    ("user", "node"),
    [(N1, "n1"), (UserInfo("bob", GROUPS), ""), (UserInfo("system:node:n1", ("others",)), None)],
)
def test_whose_kubelet_it_is(user, node) -> None:
    assert node_of(user) == node


@pytest.fixture
def ask(api) -> Callable[..., Any]:
    """As the kubelet of n1."""

    async def call(verb: str, kind: Resource, body: Obj, sub: str = "", namespace: str = "default") -> Obj:
        scope = namespace if kind.namespaced else ""
        name = "" if verb == "create" else body["metadata"]["name"]
        request = Request(verb, kind, scope, name, sub, {}, body, STRATEGIC_MERGE_PATCH)
        return await api.server.transport(N1).call(request)

    return call


async def refusal(answer: Any) -> str:
    with pytest.raises(StatusError) as caught:
        await answer
    assert caught.value.code == 403
    return caught.value.message.partition(" is forbidden: ")[2]


async def test_a_kubelet_writes_about_its_own_node(ask) -> None:
    taint = {"key": "a", "effect": "NoSchedule"}
    mine = {"metadata": {"name": "n1", "labels": {"kubernetes.io/os": "linux", "zone": "a"}}}
    await ask("create", NODES, {**mine, "spec": {"taints": [taint]}})
    await ask("patch", NODES, {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "1"}}}, "status")
    assert await refusal(ask("create", NODES, {"metadata": {"name": "n2"}})) == (
        'node "n1" is not allowed to modify node "n2"'
    )
    other = {"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}}
    assert await refusal(ask("patch", NODES, other)) == 'node "n1" is not allowed to modify taints'


@pytest.mark.parametrize(
    "label", ["node-restriction.kubernetes.io/x", "node-role.kubernetes.io/x", "a.k8s.io/b"]
)
async def test_labels_that_others_rely_on_are_not_a_kubelets(ask, label) -> None:
    await ask("create", NODES, {"metadata": {"name": "n1"}})
    body = {"metadata": {"name": "n1", "labels": {label: "", "kubelet.kubernetes.io/y": "", "own": ""}}}
    assert await refusal(ask("patch", NODES, body)) == f'node "n1" is not allowed to modify labels: {label}'


async def test_a_kubelet_makes_no_pods_but_mirrors_of_its_own(ask, pod) -> None:
    await ask("create", PODS, pod("a", "n1", annotations=MIRROR))
    assert "can only create mirror pods" in await refusal(ask("create", PODS, pod("b", "n1")))
    assert await refusal(ask("create", PODS, pod("c", "n2", annotations=MIRROR))) == (
        'node "n1" can only create pods with spec.nodeName set to itself'
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "n2"}, 'node "n1" can only create pods with an owner reference set to itself'),
        ({"controller": False}, "with a controller owner reference set to itself"),
        ({"blockOwnerDeletion": True}, "must not set blockOwnerDeletion on an owner reference"),
    ],
)
async def test_a_mirror_belongs_to_its_node(ask, pod, change, words) -> None:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
    body = pod("a", "n1", annotations=MIRROR)
    await ask("create", PODS, {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}})
    body = pod("b", "n1", annotations=MIRROR)
    body["metadata"]["ownerReferences"] = [{**owner, **change}]
    assert words in await refusal(ask("create", PODS, body))
    body["metadata"]["ownerReferences"] = [owner, {**owner, "uid": "v", "controller": False}]
    assert "a single owner reference" in await refusal(ask("create", PODS, body))


async def test_a_mirror_opens_no_objects_to_its_node(ask, pod) -> None:
    body = pod("a", "n1", annotations=MIRROR)
    body["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "c"}}]
    said = await refusal(ask("create", PODS, body))
    assert said == 'node "n1" can not create pods that reference configmaps'


async def test_a_kubelet_says_how_its_own_pods_are(api, ask, pod) -> None:
    await api.create(PODS, pod("a", "n1"))
    await api.create(PODS, pod("b", "n2"))
    said: Obj = {"status": {"phase": "Running"}}
    await ask("patch", PODS, {"metadata": {"name": "a"}, **said}, "status")
    assert await refusal(ask("patch", PODS, {"metadata": {"name": "b"}, **said}, "status")) == (
        'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    )
    labelled = {"metadata": {"name": "a", "labels": {"x": "y"}}, **said}
    assert "cannot update labels through pod status" in await refusal(ask("patch", PODS, labelled, "status"))


async def test_a_kubelet_holds_its_own_lease(ask) -> None:
    await ask("create", LEASES, {"metadata": {"name": "n1"}, "spec": {}}, namespace="kube-node-lease")
    elsewhere = ask("create", LEASES, {"metadata": {"name": "n1"}, "spec": {}})
    assert "can only access leases in the" in await refusal(elsewhere)
    other = {"metadata": {"name": "n2"}, "spec": {}}
    assert "same name as the requesting node" in (
        await refusal(ask("create", LEASES, other, namespace="kube-node-lease"))
    )


async def test_a_kubelet_asks_for_certificates_of_its_own(ask) -> None:
    def asked(name: str, signer: str) -> Obj:
        body = certificates.pem(f"system:node:{name}", ["system:nodes"])
        return certificates.request(f"for-{name}", body, signer, ["client auth", "digital signature"])

    signer = "kubernetes.io/kube-apiserver-client-kubelet"
    await ask("create", CERTIFICATE_REQUESTS, asked("n1", signer))
    assert await refusal(ask("create", CERTIFICATE_REQUESTS, asked("n2", signer))) == (
        "can only create a node CSR with CN=system:node:n1"
    )
    await ask("create", CERTIFICATE_REQUESTS, asked("n2", "example.com/other"))
