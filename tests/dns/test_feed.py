"""What a zone hears of the API."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from harness.dnstalk import until
from sampan.api.resources import NAMESPACES, PODS, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.dns import wire
from sampan.dns.feed import Feed
from sampan.dns.zone import Zone, ZonePlan

pytestmark = pytest.mark.virtual_time

WEB = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7"},
}
POD_NAME = "10-244-0-5.shop.pod.cluster.local"


def pod(phase: str, ip: str = "10.244.0.5") -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "shop"}
    status = {"phase": phase, "podIPs": [{"ip": ip}, {"ip": "fd00::5"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}


@pytest.fixture
async def client() -> Client:
    client = Client(FakeTransport())
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    return client


@pytest.fixture
async def informers(client: Client) -> AsyncIterator[Informers]:
    informers = Informers(client)
    running = asyncio.create_task(informers.run())
    yield informers
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_another_zone_is_told_of_all_there_is_and_the_first_no_more(
    client: Client, informers: Informers
) -> None:
    first, second = Zone(), Zone()
    feed = Feed(informers, first)
    await client.create(SERVICES, WEB)
    await feed.whole()
    await until(lambda: there(first, "web"))
    feed.turn_to(second)
    assert await there(second, "web")
    assert second.lookup("shop.svc.cluster.local", wire.A).rcode == wire.NOERROR
    await client.delete(SERVICES, "web", namespace="shop")

    async def gone() -> bool:
        return not await there(second, "web")

    await until(gone)
    assert await there(first, "web")


async def there(zone: Zone, name: str) -> bool:
    return zone.lookup(f"{name}.shop.svc.cluster.local", wire.A).rcode == wire.NOERROR


async def test_pods_are_known_by_their_addresses_while_they_have_them(
    client: Client, informers: Informers
) -> None:
    zone = Zone(ZonePlan(has_pod=lambda namespace, ip: feed.has_pod(namespace, ip)))
    feed = Feed(informers, zone)
    feed.follow_pods()
    told: set[str] = set()
    zone.changed = told.update
    await client.create(PODS, pod("Running"))
    await feed.whole()

    async def known() -> bool:
        return zone.lookup(POD_NAME, wire.A).rcode == wire.NOERROR

    await until(known)
    assert "shop.pod.cluster.local" in told
    assert zone.lookup("fd00--5.shop.pod.cluster.local", wire.AAAA).answers
    assert not feed.has_pod("bank", "10.244.0.5")
    await client.patch(PODS, "p", {"status": {"phase": "Succeeded"}}, namespace="shop", subresource="status")

    async def unknown() -> bool:
        return not await known()

    await until(unknown)
