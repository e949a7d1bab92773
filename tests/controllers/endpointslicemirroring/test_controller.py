"""Mirroring over an API server in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.objects import Obj, mutable
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from sampan.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController


def service(**spec: object) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 5432}], **spec},
    }


def endpoints(*ips: str, **metadata: object) -> Obj:
    ports = [{"port": 5432, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "db", "namespace": "default", **metadata},
        "subsets": [{"addresses": [{"ip": ip} for ip in ips], "ports": ports}] if ips else [],
    }


class World(BaseWorld):
    def mirrored(self) -> list[str]:
        return [
            endpoint["addresses"][0]
            for piece in self.fake.objects(ENDPOINT_SLICES)
            for endpoint in piece["endpoints"]
        ]

    def state(self) -> object:
        return self.mirrored()


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), EndpointSliceMirroringController)


async def test_mirrored_from_first_to_last() -> None:
    async with world(service()) as it:
        it.fake.add(endpoints("192.0.2.1"))
        await it.until(lambda: it.mirrored() == ["192.0.2.1"])
        it.fake.add(endpoints("192.0.2.2", "192.0.2.3"))
        await it.until(lambda: it.mirrored() == ["192.0.2.2", "192.0.2.3"])
        it.fake.remove(ENDPOINTS, "db", "default")
        await it.until(lambda: it.fake.objects(ENDPOINT_SLICES) == [])
        writes = [action.verb for action in it.fake.actions if action.plural == "endpointslices"]
        assert writes == ["create", "update", "delete"]


async def test_the_service_may_come_last() -> None:
    async with world(endpoints("192.0.2.1")) as it:
        await asyncio.sleep(0.01)
        assert it.mirrored() == []
        it.fake.add(service())
        await it.until(lambda: it.mirrored() == ["192.0.2.1"])
        it.fake.remove(SERVICES, "db", "default")
        await it.until(lambda: it.mirrored() == [])


async def test_a_selector_ends_it_and_its_removal_begins_it() -> None:
    async with world(service(), endpoints("192.0.2.1")) as it:
        await it.until(lambda: it.mirrored() == ["192.0.2.1"])
        it.fake.add(service(selector={"app": "db"}))
        await it.until(lambda: it.mirrored() == [])
        it.fake.add(service())
        await it.until(lambda: it.mirrored() == ["192.0.2.1"])


async def test_a_label_ends_it() -> None:
    async with world(service(), endpoints("192.0.2.1")) as it:
        await it.until(lambda: it.mirrored() == ["192.0.2.1"])
        it.fake.add(endpoints("192.0.2.1", labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
        await it.until(lambda: it.mirrored() == [])


async def test_what_others_do_to_a_slice_is_undone() -> None:
    async with world(service(), endpoints("192.0.2.1")) as it:
        await it.until(lambda: it.mirrored() == ["192.0.2.1"])
        emptied = mutable(it.fake.objects(ENDPOINT_SLICES)[0])
        emptied["endpoints"] = []
        await it.client.update(ENDPOINT_SLICES, emptied)
        await it.until(lambda: it.mirrored() == ["192.0.2.1"])


async def test_who_is_left_out_is_said() -> None:
    many = [f"198.18.{n // 250}.{n % 250 + 1}" for n in range(1001)]
    async with world(service(), endpoints(*many)) as it:
        await it.until(lambda: it.mirrored() == many[:1000])
        assert await it.messages("TooManyAddressesToMirror") == [
            "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. "
            "1 addresses were skipped"
        ]
