"""How namespaces go, over an API server in memory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from harness.world import World, running
from sampan.api.objects import Obj, condition_of, mutable
from sampan.api.resources import NAMESPACES, NETWORK_POLICIES, PODS, SERVICE_ACCOUNTS
from sampan.controllers.namespace.controller import NamespaceController, emptied_resources


def namespace(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def pod(name: str, finalizers: list[str] | None = None) -> Obj:
    metadata: Obj = {"name": name, "namespace": "ns"}
    if finalizers:
        metadata["finalizers"] = finalizers
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), NamespaceController)


async def test_a_deleted_namespace_is_emptied_and_goes() -> None:
    async with world(namespace("ns"), pod("a"), pod("b")) as it:
        await it.client.delete(NAMESPACES, "ns")
        await it.until(lambda: it.fake.get(NAMESPACES, "ns") is None)
        assert it.fake.objects(PODS) == []


async def test_it_waits_for_finalizers_and_says_so() -> None:
    async with world(namespace("ns"), pod("held", ["example.com/hold"])) as it:
        await it.client.delete(NAMESPACES, "ns")

        def said(kind: str) -> str:
            found = it.fake.get(NAMESPACES, "ns")
            condition = condition_of(found, kind) if found else None
            return condition["message"] if condition and condition["status"] == "True" else ""

        await it.until(lambda: bool(said("NamespaceFinalizersRemaining")))
        assert said("NamespaceFinalizersRemaining") == (
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        )
        assert said("NamespaceContentRemaining") == (
            "Some resources are remaining: pods. has 1 resource instances"
        )
        held = mutable(it.fake.get(PODS, "held", "ns") or {})
        held["metadata"]["finalizers"] = []
        await it.client.update(PODS, held)
        await it.until(lambda: it.fake.get(NAMESPACES, "ns") is None)


async def test_policies_outlive_the_pods_that_they_hold() -> None:
    """CVE-2024-7598: a Pod that takes its time to end must not be open to everybody meanwhile."""
    deny: Obj = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "ns"},
        "spec": {"podSelector": {}},
    }
    account: Obj = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "ns"},
    }
    async with world(namespace("ns"), pod("held", ["example.com/hold"]), deny, account) as it:
        await it.client.delete(NAMESPACES, "ns")
        await it.until(lambda: bool(((it.fake.get(NAMESPACES, "ns") or {})["status"]).get("conditions")))
        assert it.fake.get(NETWORK_POLICIES, "deny", "ns") is not None
        assert it.fake.objects(SERVICE_ACCOUNTS), "nor does anything else go before"
        held = mutable(it.fake.get(PODS, "held", "ns") or {})
        held["metadata"]["finalizers"] = []
        await it.client.update(PODS, held)
        await it.until(lambda: it.fake.get(NAMESPACES, "ns") is None)
        assert it.fake.get(NETWORK_POLICIES, "deny", "ns") is None


def test_everything_stored_is_emptied_once_and_pods_first() -> None:
    names = [resource.qualified for resource in emptied_resources()]
    assert len(names) == len(set(names))
    assert {"configmaps", "secrets", "deployments.apps", "leases.coordination.k8s.io"} <= set(names)
    assert names[0] == "pods"
    assert "bindings" not in names
