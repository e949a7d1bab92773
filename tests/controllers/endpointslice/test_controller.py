"""EndpointSlices and Endpoints over an API server in memory."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import conflict
from sampan.api.objects import Obj, labels_of, mutable
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from sampan.controllers.endpoints.controller import EndpointsController
from sampan.controllers.endpointslice.controller import EndpointSliceController


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
    def ready(self) -> list[str]:
        """Addresses in the slices that take traffic, one entry for every time they are named."""
        return sorted(
            endpoint["addresses"][0]
            for piece in self.fake.objects(ENDPOINT_SLICES)
            for endpoint in piece["endpoints"]
            if endpoint["conditions"]["ready"]
        )

    def subsets(self) -> list[Obj] | None:
        found = self.fake.get(ENDPOINTS, "web", "default")
        return found.get("subsets") if found else None

    def state(self) -> object:
        return self.ready(), self.subsets()


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), EndpointSliceController, EndpointsController)


async def test_endpoints_follow_the_pods() -> None:
    async with world(service({"app": "web"}), pod(0), pod(1, ready=False), pod(2, app="db")) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        await it.until(lambda: bool(it.subsets()))
        (subset,) = it.subsets() or []
        assert [each["ip"] for each in subset["addresses"]] == ["10.244.0.1"]
        assert [each["ip"] for each in subset["notReadyAddresses"]] == ["10.244.0.2"]
        assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]
        it.fake.add(pod(1))
        await it.until(lambda: it.ready() == ["10.244.0.1", "10.244.0.2"])
        it.fake.remove(PODS, "p0", "default")
        await it.until(lambda: it.ready() == ["10.244.0.2"])


async def test_blue_green_is_one_write() -> None:
    pods = [pod(0), pod(1), pod(2, app="web-v2"), pod(3, app="web-v2")]
    async with world(service({"app": "web"}), *pods) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1", "10.244.0.2"])
        it.fake.actions.clear()
        await it.client.patch(SERVICES, "web", {"spec": {"selector": {"app": "web-v2"}}}, namespace="default")
        await it.until(lambda: it.ready() == ["10.244.0.3", "10.244.0.4"])
        await asyncio.sleep(0.01)
        writes = [action for action in it.fake.actions if action.plural == "endpointslices"]
        assert [action.verb for action in writes] == ["update"]


async def test_own_writes_are_read_back_before_the_watch_shows_them() -> None:
    """Many changes in one turn: a controller that trusted its cache would make slices twice."""
    async with world(service({"app": "web"})) as it:
        for number in range(40):
            it.fake.add(pod(number))
            await asyncio.sleep(0)
        await it.until(lambda: len(it.ready()) == 40)
        await asyncio.sleep(0.02)
        assert len(it.ready()) == 40
        assert len(it.fake.objects(ENDPOINT_SLICES)) == 1
        assert (
            len(
                [
                    action
                    for action in it.fake.actions
                    if action == ("create", "endpointslices", "default/web-")
                ]
            )
            == 1
        )


async def test_a_conflict_is_made_good() -> None:
    async with world(service({"app": "web"}), pod(0)) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        it.fake.fail("update", "endpointslices", conflict(ENDPOINT_SLICES, "web-x"), times=2)
        it.fake.add(pod(1))
        await it.until(lambda: it.ready() == ["10.244.0.1", "10.244.0.2"])


async def test_what_others_do_to_a_slice_is_undone() -> None:
    async with world(service({"app": "web"}), pod(0)) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        (piece,) = it.fake.objects(ENDPOINT_SLICES)
        emptied = mutable(piece)
        emptied["endpoints"] = []
        await it.client.update(ENDPOINT_SLICES, emptied)
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        it.fake.remove(ENDPOINT_SLICES, piece["metadata"]["name"], "default")
        await it.until(lambda: it.ready() == ["10.244.0.1"])


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
        assert it.fake.objects(ENDPOINT_SLICES) == []
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


async def test_all_goes_with_the_service() -> None:
    async with world(service({"app": "web"}), pod(0)) as it:
        await it.until(lambda: bool(it.subsets()) and it.ready() != [])
        it.fake.remove(SERVICES, "web", "default")
        await it.until(lambda: it.subsets() is None and not it.fake.objects(ENDPOINT_SLICES))


async def test_from_ready_to_slice_takes_no_time() -> None:
    async with world(service({"app": "web"}), *(pod(number) for number in range(50))) as it:
        await it.until(lambda: len(it.ready()) == 50)
        took = []
        for turn in range(20):
            start = time.perf_counter()
            it.fake.add(pod(7, ready=bool(turn % 2)))
            for _ in range(1000):
                if len(it.ready()) == 49 + turn % 2:
                    break
                await asyncio.sleep(0)
            took.append(time.perf_counter() - start)
        assert sorted(took)[10] < 0.01  # on a busy machine; alone it is a millisecond
