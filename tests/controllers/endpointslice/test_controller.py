"""EndpointSlices over an API server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import conflict
from sampan.api.objects import Obj, mutable
from sampan.api.resources import ENDPOINT_SLICES, EVENTS, NODES, PODS, SERVICES
from sampan.controllers.endpointslice.controller import EndpointSliceController
from sampan.controllers.endpointslice.endpoints import Group, Maker


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


def pod(number: int, ready: bool = True, app: str = "web", node: str = "n1") -> Obj:
    ip = f"10.244.{number // 250}.{number % 250 + 1}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": "default", "labels": {"app": app}},
        "spec": {"nodeName": node, "containers": []},
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

    def state(self) -> object:
        return self.ready()[:5]

    def writes(self) -> list[str]:
        return [action.verb for action in self.fake.actions if action.plural == "endpointslices"]

    def endpoints(self) -> list[Obj]:
        return [each for piece in self.fake.objects(ENDPOINT_SLICES) for each in piece["endpoints"]]


def node(name: str = "n1", zone: str = "", cpu: str = "4") -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone} if zone else {}},
        "status": {"allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(node(), *objects), EndpointSliceController)


async def test_endpoints_follow_the_pods() -> None:
    async with world(service({"app": "web"}), pod(0), pod(1, ready=False), pod(2, app="db")) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1"])
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
        assert it.writes() == ["update"]


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


async def test_all_goes_with_the_service() -> None:
    async with world(service({"app": "web"}), pod(0)) as it:
        await it.until(lambda: it.ready() != [])
        it.fake.remove(SERVICES, "web", "default")
        await it.until(lambda: not it.fake.objects(ENDPOINT_SLICES))


async def test_slices_that_others_wrote_are_left_alone() -> None:
    foreign: Obj = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "by-hand",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
        "ports": [],
    }
    async with world(service({"app": "web"}), pod(0), foreign) as it:
        await it.until(lambda: it.ready() == ["10.244.0.1", "192.0.2.1"])
        it.fake.remove(SERVICES, "web", "default")
        await it.until(lambda: it.ready() == ["192.0.2.1"])


async def test_an_endpoint_moves_and_goes_with_its_node() -> None:
    async with world(service({"app": "web"}), node("n2", "b"), pod(0), pod(1, node="n2")) as it:
        await it.until(lambda: len(it.ready()) == 2)
        assert {each.get("zone") for each in it.endpoints()} == {None, "b"}
        it.fake.add(node("n2", "c"))
        await it.until(lambda: {each.get("zone") for each in it.endpoints()} == {None, "c"})
        it.fake.remove(NODES, "n2")
        await it.until(lambda: it.ready() == ["10.244.0.1"])
        it.fake.add(node("n2"))
        await it.until(lambda: len(it.ready()) == 2)


async def test_a_pod_that_is_seen_before_its_node_waits_for_it() -> None:
    async with world(service({"app": "web"}), pod(0, node="late")) as it:
        await it.until(lambda: it.writes() == ["create"])
        assert it.ready() == []
        it.fake.add(node("late"))
        await it.until(lambda: it.ready() == ["10.244.0.1"])


def asking(mode: str = "Auto") -> Obj:
    made = service({"app": "web"})
    made["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": mode}
    return made


async def test_topology_hints_come_and_go_and_the_user_is_told() -> None:
    zones = [node("n1", "a"), node("n2", "b")]
    pods = [pod(number, node="n1" if number < 3 else "n2") for number in range(4)]
    async with world(asking(), *zones, *pods) as it:
        await it.until(lambda: all("hints" in each for each in it.endpoints()) and it.endpoints() != [])
        hinted = [each["hints"]["forZones"][0]["name"] for each in it.endpoints()]
        assert sorted(hinted) == ["a", "a", "b", "b"]
        assert await it.messages("TopologyAwareHintsEnabled") == [
            "Topology Aware Hints has been enabled, addressType: IPv4"
        ]
        it.fake.add(node("n2", "a"))
        await it.until(lambda: not any("hints" in each for each in it.endpoints()))
        it.fake.add(node("n2", "b"))
        await it.until(lambda: all("hints" in each for each in it.endpoints()))
        it.fake.add(asking("Disabled"))
        await it.until(lambda: not any("hints" in each for each in it.endpoints()))
        await it.until(lambda: len(it.fake.objects(EVENTS)) >= 3)
        assert await it.messages("TopologyAwareHintsDisabled") == [
            "Nodes only ready in one zone, addressType: IPv4",
            "Topology Aware Hints has been disabled, addressType: IPv4",
        ]


async def test_a_thousand_pods_and_more() -> None:
    """Each change is one write, and what is there is what should be there."""
    async with world(service({"app": "web"}), *(pod(number) for number in range(1500))) as it:
        await it.until(lambda: len(it.ready()) == 1500)
        assert all(len(piece["endpoints"]) == 100 for piece in it.fake.objects(ENDPOINT_SLICES))
        it.fake.actions.clear()
        for number in (3, 777, 1499):
            it.fake.add(pod(number, ready=False))
            gone = f"10.244.{number // 250}.{number % 250 + 1}"
            await it.until(lambda gone=gone: gone not in it.ready())  # type: ignore[misc]
        it.fake.add(pod(1500))
        await it.until(lambda: "10.244.6.1" in it.ready())
        it.fake.remove(PODS, "p5", "default")
        await it.until(lambda: "10.244.0.6" not in it.ready())
        it.fake.add(pod(6, app="db"))
        await it.until(lambda: "10.244.0.7" not in it.ready())
        assert it.writes() == ["update"] * 3 + ["create"] + ["update"] * 2


async def test_of_a_thousand_pods_only_the_one_that_changed_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    make = Maker.endpoints

    def noting(self: Maker, pod: Obj) -> Iterator[tuple[Group, Obj]]:
        made.append(pod["metadata"]["name"])
        return make(self, pod)

    monkeypatch.setattr(Maker, "endpoints", noting)
    async with world(service({"app": "web"}), *(pod(number) for number in range(1000))) as it:
        await it.until(lambda: len(it.ready()) == 1000)
        made.clear()
        it.fake.add(pod(7, ready=False))
        await it.until(lambda: len(it.ready()) == 999)
        it.fake.remove(PODS, "p8", "default")
        await it.until(lambda: len(it.ready()) == 998)
        assert made == ["p7"]
