"""Endpoints over an API server in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import conflict
from sampan.api.objects import Obj, labels_of, mutable
from sampan.api.resources import ENDPOINTS, SERVICES
from sampan.controllers.endpoints.controller import EndpointsController


def service(selector: dict[str, str] | None, **spec: Any) -> Obj:
    body: Obj = {"clusterIP": "10.96.0.7", "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}]}
    if selector:
        body["selector"] = selector
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {**body, **spec},
    }


def pod(number: int, ready: bool = True, app: str = "web") -> Obj:
    ip = f"10.244.0.{number + 1}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": "default", "labels": {"app": app}},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


class World(BaseWorld):
    def subsets(self) -> list[Obj] | None:
        found = self.fake.get(ENDPOINTS, "web", "default")
        return found.get("subsets") if found else None

    def ready(self) -> list[str]:
        return [each["ip"] for subset in self.subsets() or [] for each in subset.get("addresses") or []]

    def state(self) -> object:
        return self.subsets()


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), EndpointsController)


async def test_endpoints_follow_the_pods() -> None:
    async with world(service({"app": "web"}), pod(0), pod(1, ready=False), pod(2, app="db")) as it:
        await it.until(lambda: bool(it.subsets()))
        (subset,) = it.subsets() or []
        assert [each["ip"] for each in subset["addresses"]] == ["10.244.0.1"]
        assert [each["ip"] for each in subset["notReadyAddresses"]] == ["10.244.0.2"]
        assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]
        it.fake.add(pod(1))
        await it.until(lambda: it.ready() == ["10.244.0.1", "10.244.0.2"])


async def test_many_changes_at_once_are_few_writes() -> None:
    async with world(service({"app": "web"}), *(pod(number) for number in range(50))) as it:
        await it.until(lambda: len(it.ready()) == 50)
        it.fake.actions.clear()
        it.fake.add(*(pod(number, ready=False) for number in range(50)))
        await it.until(lambda: it.ready() == [])
        await asyncio.sleep(0.02)
        assert [action.verb for action in it.fake.actions] == ["update"]


async def test_what_others_do_to_them_is_undone() -> None:
    async with world(service({"app": "web"}), pod(0)) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        found = it.fake.get(ENDPOINTS, "web", "default")
        assert found is not None
        emptied = mutable(found)
        emptied["subsets"] = []
        await it.client.update(ENDPOINTS, emptied)
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        it.fake.remove(ENDPOINTS, "web", "default")
        await it.until(lambda: it.ready() == ["10.244.0.1"])


async def test_a_conflict_is_made_good() -> None:
    async with world(service({"app": "web"}), pod(0)) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        it.fake.fail("update", "endpoints", conflict(ENDPOINTS, "web"), times=2)
        it.fake.add(pod(1))
        await it.until(lambda: it.ready() == ["10.244.0.1", "10.244.0.2"])


async def test_hand_written_endpoints_are_left_alone() -> None:
    subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 5432, "protocol": "TCP"}]}]
    written: Obj = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "web", "namespace": "default"},
        "subsets": subsets,
    }
    async with world(service(None), written, pod(0)) as it:
        await asyncio.sleep(0.02)
        assert it.subsets() == subsets
        it.fake.remove(SERVICES, "web", "default")
        await it.until(lambda: it.subsets() is None)


async def test_headless_services_are_marked() -> None:
    async with world(service({"app": "web"}, clusterIP="None"), pod(0)) as it:
        await it.until(lambda: bool(it.subsets()))
        found = it.fake.get(ENDPOINTS, "web", "default")
        assert found is not None
        assert labels_of(found) == {
            "service.kubernetes.io/headless": "",
            "endpoints.kubernetes.io/managed-by": "endpoint-controller",
        }


async def test_they_go_with_the_service() -> None:
    async with world(service({"app": "web"}), pod(0)) as it:
        await it.until(lambda: bool(it.subsets()))
        it.fake.remove(SERVICES, "web", "default")
        await it.until(lambda: it.subsets() is None)
