"""Pods' way to the API stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sampan.api.objects import Obj
from sampan.api.request import Request, Transport, UserInfo
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, SERVICES, STORAGE_CLASSES, Resource
from sampan.apiserver import pki
from sampan.apiserver.bootstrap import provide_class
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.store.memory import MemoryStore


@pytest.fixture
async def transport(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Transport]:
    keys = tmp_path_factory.mktemp("pki")
    pki.load_or_create(keys, ["localhost"])
    config = ServerConfig(pki_dir=keys, advertise_host="10.1.2.3", advertise_port=6443)
    server = ApiServer(config, MemoryStore(), lambda name: None)
    await server.start()
    try:
        yield server.transport(UserInfo("tester", ("system:masters", "system:authenticated")))
    finally:
        await server.stop()


async def restored(transport: Transport, resource: Resource, old: Obj) -> Obj:
    """The object as it is once it is no longer `old`."""
    async with asyncio.timeout(30):
        async for event in transport.watch(Request("watch", resource, "default")):
            metadata = event.object["metadata"]
            if metadata["name"] == "kubernetes" and (
                event.type != "DELETED" and metadata["resourceVersion"] != old["metadata"]["resourceVersion"]
            ):
                return event.object
    raise AssertionError("the watch ended")


@pytest.mark.parametrize("resource", [SERVICES, ENDPOINTS, ENDPOINT_SLICES], ids=lambda r: str(r.plural))
async def test_way_to_the_api_comes_back_when_deleted(transport: Transport, resource: Resource) -> None:
    await asyncio.sleep(0)
    old = await transport.call(Request("get", resource, "default", "kubernetes"))
    await transport.call(Request("delete", resource, "default", "kubernetes"))
    new = await restored(transport, resource, old)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    if resource is SERVICES:
        assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"] == "10.96.0.1"


async def test_namespace_of_the_leases_comes_back(transport: Transport) -> None:
    """Without it no node can say that it lives."""
    await asyncio.sleep(0)
    name = "kube-node-lease"
    old = await transport.call(Request("get", NAMESPACES, "", name))
    await transport.call(Request("delete", NAMESPACES, "", name))
    emptied = Request("update", NAMESPACES, "", name, "finalize", body={**old, "spec": {"finalizers": []}})
    emptied.body["metadata"].pop("resourceVersion", None)
    await transport.call(emptied)
    async with asyncio.timeout(30):
        async for event in transport.watch(Request("watch", NAMESPACES)):
            metadata = event.object["metadata"]
            if metadata["name"] == name and metadata["uid"] != old["metadata"]["uid"]:
                return


async def test_endpoints_of_the_api_that_somebody_bends_are_bent_back(transport: Transport) -> None:
    await asyncio.sleep(0)
    bent = Request(
        "patch",
        ENDPOINT_SLICES,
        "default",
        "kubernetes",
        body={"endpoints": [{"addresses": ["10.9.9.9"]}]},
        content_type="application/merge-patch+json",
    )
    new = await restored(transport, ENDPOINT_SLICES, await transport.call(bent))
    assert new["endpoints"][0]["addresses"] == ["10.1.2.3"]


async def test_a_cluster_without_any_class_gets_one(transport: Transport) -> None:
    (standard,) = (await transport.call(Request("list", STORAGE_CLASSES)))["items"]
    assert standard["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    mine = {"metadata": {"name": "mine"}, "provisioner": "x.io/disk"}
    await transport.call(Request("create", STORAGE_CLASSES, body=mine))
    await transport.call(Request("delete", STORAGE_CLASSES, name="standard"))
    await provide_class(transport)
    names = [
        it["metadata"]["name"] for it in (await transport.call(Request("list", STORAGE_CLASSES)))["items"]
    ]
    assert names == ["mine"]
