"""The fake is what components' tests believe in, so it must not be kinder than the real one."""

from __future__ import annotations

import pytest

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, mutable
from sampan.api.request import JSON_PATCH, STRATEGIC_MERGE_PATCH
from sampan.api.resources import DEPLOYMENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from sampan.client.client import Client
from sampan.client.fake import Action, FakeTransport

pytestmark = pytest.mark.virtual_time


def pod(name: str = "a", **metadata: object) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", **metadata},
        "spec": {"containers": [{"name": "main", "image": "one"}]},
        "status": {"phase": "Running"},
    }


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport(pod())


@pytest.fixture
def client(transport: FakeTransport) -> Client:
    return Client(transport)


async def code_of(call: object) -> int:
    with pytest.raises(StatusError) as error:
        await call  # type: ignore[misc]
    return error.value.code


async def test_create_gives_what_a_server_gives(client: Client) -> None:
    made = await client.create(PODS, pod(name="", generateName="web-"))
    assert made["metadata"]["name"].startswith("web-") and made["metadata"]["uid"]
    assert int(made["metadata"]["resourceVersion"]) == 2
    assert await code_of(client.create(PODS, pod())) == 409
    assert await code_of(client.get(PODS, "none", "ns")) == 404


async def test_a_stale_update_is_a_conflict(client: Client) -> None:
    first = mutable(await client.get(PODS, "a", "ns"))
    changed = mutable(first)
    changed["spec"]["nodeName"] = "n1"
    updated = await client.update(PODS, changed)
    assert updated["metadata"]["generation"] == 2
    assert await code_of(client.update(PODS, first)) == 409
    same = await client.update(PODS, mutable(updated))
    assert same["metadata"]["resourceVersion"] == updated["metadata"]["resourceVersion"]


async def test_status_and_the_rest_are_written_apart(client: Client) -> None:
    changed = mutable(await client.get(PODS, "a", "ns"))
    changed["spec"]["nodeName"] = "n1"
    changed["status"] = {"phase": "Failed"}
    after_update = await client.update(PODS, mutable(changed))
    assert (after_update["spec"]["nodeName"], after_update["status"]["phase"]) == ("n1", "Running")
    patch = {"spec": {"nodeName": "n2"}, "status": {"phase": "Succeeded"}}
    after_patch = await client.patch(PODS, "a", patch, namespace="ns", subresource="status")
    assert (after_patch["spec"]["nodeName"], after_patch["status"]["phase"]) == ("n1", "Succeeded")


async def test_all_kinds_of_patches(client: Client) -> None:
    operations: list[Obj] = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    patched = await client.patch(PODS, "a", operations, namespace="ns", content_type=JSON_PATCH)
    assert patched["metadata"]["labels"] == {"a": "b"}
    strategic: Obj = {"spec": {"containers": [{"name": "side", "image": "two"}]}}
    patched = await client.patch(PODS, "a", strategic, namespace="ns", content_type=STRATEGIC_MERGE_PATCH)
    assert {container["name"] for container in patched["spec"]["containers"]} == {"main", "side"}
    patched = await client.patch(PODS, "a", {"metadata": {"labels": None}}, namespace="ns")
    assert "labels" not in patched["metadata"]


async def test_deletion_is_at_once_unless_grace_is_given(client: Client, transport: FakeTransport) -> None:
    await client.delete(PODS, "a", namespace="ns", grace_period_s=30)
    going = transport.get(PODS, "a", "ns")
    assert going is not None and going["metadata"]["deletionGracePeriodSeconds"] == 30
    await client.patch(PODS, "a", {"status": {"phase": "Failed"}}, namespace="ns", subresource="status")
    assert transport.get(PODS, "a", "ns") is not None
    assert await code_of(client.delete(PODS, "a", namespace="ns", uid="another")) == 409
    await client.delete(PODS, "a", namespace="ns", grace_period_s=0)
    assert transport.get(PODS, "a", "ns") is None


async def test_finalizers_hold_an_object(client: Client, transport: FakeTransport) -> None:
    transport.add(pod("held", finalizers=["x/y"]))
    await client.delete(PODS, "held", namespace="ns", propagation="Foreground")
    held = transport.get(PODS, "held", "ns")
    assert held is not None and held["metadata"]["finalizers"] == ["x/y", "foregroundDeletion"]
    await client.patch(PODS, "held", {"metadata": {"finalizers": None}}, namespace="ns")
    assert transport.get(PODS, "held", "ns") is None


async def test_a_namespace_goes_when_it_is_finalized(client: Client, transport: FakeTransport) -> None:
    namespace: Obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    await client.create(NAMESPACES, namespace | {"spec": {"finalizers": ["kubernetes"]}})
    await client.delete(NAMESPACES, "x")
    going = mutable(await client.get(NAMESPACES, "x"))
    assert going["status"] == {"phase": "Terminating"}
    going["spec"] = {"finalizers": []}
    await client.update(NAMESPACES, going, subresource="finalize")
    assert transport.get(NAMESPACES, "x") is None


async def test_binding_and_scale_and_token(client: Client, transport: FakeTransport) -> None:
    await client.bind(pod(), "n1")
    bound = await client.get(PODS, "a", "ns")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    assert await code_of(client.bind(pod(), "n2")) == 409
    metadata = {"name": "d", "namespace": "ns"}
    transport.add(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
    )
    await client.update(DEPLOYMENTS, {"metadata": metadata, "spec": {"replicas": 4}}, subresource="scale")
    assert (await client.get(DEPLOYMENTS, "d", "ns"))["spec"]["replicas"] == 4
    request: Obj = {"metadata": {"namespace": "ns"}, "spec": {}}
    token = await client.create(SERVICE_ACCOUNTS, request, subresource="token", name="d")
    assert token["status"]["token"] == "token-of-d"


async def test_writing_to_a_shared_object_is_found_out(client: Client) -> None:
    shared = await client.get(PODS, "a", "ns")
    shared["spec"]["nodeName"] = "mine"
    with pytest.raises(AssertionError, match="somebody wrote to a shared object: Pod ns/a"):
        await client.get(PODS, "a", "ns")


async def test_failures_on_order_and_a_record_of_what_came(client: Client, transport: FakeTransport) -> None:
    transport.fail("update", "pods/status", errors.conflict(PODS, "a"))
    assert await code_of(client.update_status(PODS, pod())) == 409
    await client.update_status(PODS, pod())
    await client.delete_collection(PODS, "ns")
    assert transport.actions == [
        Action("update", "pods/status", "ns/a"),
        Action("update", "pods/status", "ns/a"),
        Action("deletecollection", "pods", "ns/"),
    ]
    assert transport.objects(PODS) == []


async def test_a_status_is_merged_into_the_object_that_was_meant(client: Client) -> None:
    shown = await client.get(PODS, "a", "ns")
    for kind, status in (("Ready", "True"), ("Initialized", "True"), ("Ready", "False")):
        condition = {"type": kind, "status": status}
        changed = await client.patch_status(PODS, shown, {"conditions": [condition]})
    conditions = {each["type"]: each["status"] for each in changed["status"]["conditions"]}
    assert conditions == {"Ready": "False", "Initialized": "True"}
    assert changed["status"]["phase"] == "Running"
    another = {"metadata": {**shown["metadata"], "uid": "another"}}
    assert await code_of(client.patch_status(PODS, another, {"phase": "Failed"})) == 409
