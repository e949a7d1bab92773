from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api import errors
from sampan.api.objects import Obj, mutable
from sampan.api.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from sampan.controllers.serviceaccount.controller import ServiceAccountController


def namespace(name: str, **metadata: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}, "spec": {}}


class World(BaseWorld):
    def has(self, name: str) -> bool:
        born = self.fake.get(SERVICE_ACCOUNTS, "default", name)
        return born is not None and self.ca(name) is not None

    def ca(self, name: str) -> Obj | None:
        return self.fake.get(CONFIG_MAPS, "kube-root-ca.crt", name)


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), partial(ServiceAccountController, ca_pem="PEM"))


async def test_every_namespace_gets_its_account_and_ca() -> None:
    async with world(namespace("one")) as it:
        await it.until(lambda: it.has("one"))
        it.fake.add(namespace("two"))
        await it.until(lambda: it.has("two"))
        found = it.ca("two")
        assert found is not None
        assert found["data"] == {"ca.crt": "PEM"}


async def test_both_come_back() -> None:
    async with world(namespace("ns")) as it:
        await it.until(lambda: it.has("ns"))
        it.fake.remove(SERVICE_ACCOUNTS, "default", "ns")
        await it.until(lambda: it.has("ns"))
        changed = mutable(it.ca("ns") or {})
        changed["data"] = {"ca.crt": "forged"}
        await it.client.update(CONFIG_MAPS, changed)
        await it.until(lambda: (it.ca("ns") or {})["data"] == {"ca.crt": "PEM"})


async def test_a_namespace_that_goes_gets_nothing_more() -> None:
    going = namespace("going", deletionTimestamp="2026-01-01T00:00:00Z")
    async with world(going, namespace("there")) as it:
        await it.until(lambda: it.has("there"))
        assert it.fake.objects(SERVICE_ACCOUNTS) == [it.fake.get(SERVICE_ACCOUNTS, "default", "there")]


async def test_what_somebody_else_has_made_meanwhile_is_well() -> None:
    start = World()
    start.fake.fail("create", "serviceaccounts", errors.already_exists(SERVICE_ACCOUNTS, "default"))
    start.fake.fail("create", "configmaps", errors.not_found(NAMESPACES, "ns"))
    async with running(start, partial(ServiceAccountController, ca_pem="PEM")) as it:
        it.fake.add(namespace("ns"))
        await it.until(lambda: not it.fake._failures)
        it.fake.add(namespace("next"))
        await it.until(lambda: it.has("next"))
