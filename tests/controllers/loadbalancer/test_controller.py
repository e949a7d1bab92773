"""Load balancers over an API server in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import conflict
from sampan.api.objects import Obj
from sampan.api.resources import EVENTS, SERVICES
from sampan.controllers.loadbalancer.controller import LoadBalancerController
from sampan.controllers.loadbalancer.plan import FINALIZER


def service(name: str, *ingress: str, type: str = "LoadBalancer", **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": type, "ipFamilies": ["IPv4"], **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ingress]}},
    }


class World(BaseWorld):
    def addresses(self, name: str) -> list[str]:
        found = self.fake.get(SERVICES, name, "default") or {}
        return [each["ip"] for each in found["status"]["loadBalancer"].get("ingress") or ()]

    def finalizers(self, name: str) -> list[str]:
        found = self.fake.get(SERVICES, name, "default")
        return found["metadata"].get("finalizers") or [] if found else []

    def state(self) -> object:
        return self.fake.objects(SERVICES)


def world(
    *objects: Obj, pools: tuple[str, ...] = ("100.65.0.0/29",), former: tuple[str, ...] = ()
) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), lambda *given: LoadBalancerController(*given, pools, former))


async def test_an_address_out_of_the_box() -> None:
    async with world() as it:
        it.fake.add(service("web"))
        await it.until(lambda: it.addresses("web") == ["100.65.0.1"])
        assert it.finalizers("web") == [FINALIZER]
        found = it.fake.get(SERVICES, "web", "default")
        assert found is not None
        assert found["status"]["loadBalancer"]["ingress"] == [{"ip": "100.65.0.1", "ipMode": "VIP"}]
        await it.until(lambda: len(it.fake.actions) >= 2)
        assert await it.messages("EnsuringLoadBalancer") == ["Ensuring load balancer"]
        assert await it.messages("EnsuredLoadBalancer") == ["Ensured load balancer"]
        await asyncio.sleep(0.01)
        writes = [action for action in it.fake.actions if action.plural.startswith("services")]
        assert [action.plural for action in writes] == ["services", "services/status"]


async def test_no_two_share_one() -> None:
    async with world(*(service(f"s{n}") for n in range(6))) as it:
        await it.until(lambda: all(it.addresses(f"s{n}") for n in range(6)))
        given = sorted(address for n in range(6) for address in it.addresses(f"s{n}"))
        assert given == [f"100.65.0.{n}" for n in range(1, 7)]


async def test_after_a_restart_all_keep_what_they_have() -> None:
    there = [service("new"), service("old", "100.65.0.3"), service("first", "100.65.0.2")]
    async with world(*there) as it:
        await it.until(lambda: it.addresses("new") == ["100.65.0.1"])
        assert it.addresses("old") == ["100.65.0.3"]
        assert it.addresses("first") == ["100.65.0.2"]


async def test_of_two_with_the_same_address_one_gets_another() -> None:
    async with world(service("a", "100.65.0.1"), service("b", "100.65.0.1")) as it:
        await it.until(lambda: it.addresses("a") != it.addresses("b"))
        await it.until(lambda: ["100.65.0.1"] in (it.addresses("a"), it.addresses("b")))


async def test_a_full_pool_is_said_and_waited_for() -> None:
    async with world(service("a"), service("b"), pools=("100.65.0.0/30",)) as it:
        await it.until(lambda: bool(it.addresses("a") and it.addresses("b")))
        it.fake.add(service("c"))
        await it.until(lambda: any(event["type"] == "Warning" for event in it.fake.objects(EVENTS)))
        assert await it.messages("SyncLoadBalancerFailed") == [
            "Error syncing load balancer: failed to ensure load balancer: all 2 addresses of the pool "
            "100.65.0.0/30 are in use; delete a Service of type LoadBalancer or give it another type"
        ]
        assert it.finalizers("c") == []
        freed = it.addresses("a")
        await it.client.delete(SERVICES, "a", namespace="default")
        await it.until(lambda: it.addresses("c") == freed)


async def test_deletion_waits_for_the_address_to_come_back() -> None:
    async with world(service("web")) as it:
        await it.until(lambda: bool(it.addresses("web")))
        await it.client.delete(SERVICES, "web", namespace="default")
        await it.until(lambda: it.fake.get(SERVICES, "web", "default") is None)
        it.fake.add(service("next"))
        await it.until(lambda: it.addresses("next") == ["100.65.0.1"])
        assert await it.messages("DeletedLoadBalancer") == ["Deleted load balancer"]


async def test_another_type_gives_it_back() -> None:
    async with world(service("web")) as it:
        await it.until(lambda: bool(it.addresses("web")))
        patch = {"spec": {"type": "ClusterIP"}}
        await it.client.patch(SERVICES, "web", patch, namespace="default")
        await it.until(lambda: not it.addresses("web") and not it.finalizers("web"))
        it.fake.add(service("next"))
        await it.until(lambda: it.addresses("next") == ["100.65.0.1"])
        await it.client.patch(SERVICES, "web", {"spec": {"type": "LoadBalancer"}}, namespace="default")
        await it.until(lambda: it.addresses("web") == ["100.65.0.2"])


async def test_another_class_is_not_touched() -> None:
    async with world(service("theirs", loadBalancerClass="example.com/lb")) as it:
        it.fake.add(service("ours", loadBalancerClass="sampan.dev/pool"))
        await it.until(lambda: bool(it.addresses("ours")))
        assert it.addresses("theirs") == it.finalizers("theirs") == []


async def test_the_address_that_is_asked_for() -> None:
    async with world(service("web", loadBalancerIP="100.65.0.5")) as it:
        await it.until(lambda: it.addresses("web") == ["100.65.0.5"])
        patch = {"spec": {"loadBalancerIP": "100.65.0.6"}}
        await it.client.patch(SERVICES, "web", patch, namespace="default")
        await it.until(lambda: it.addresses("web") == ["100.65.0.6"])
        it.fake.add(service("next", loadBalancerIP="100.65.0.5"))
        await it.until(lambda: it.addresses("next") == ["100.65.0.5"])


async def test_an_address_that_cannot_be_had_leaves_all_as_it_is() -> None:
    async with world(service("a"), service("b", loadBalancerIP="100.65.0.4")) as it:
        await it.until(lambda: it.addresses("b") == ["100.65.0.4"] and bool(it.addresses("a")))
        before = it.addresses("a")
        refusals = {"100.65.0.4": "is in use by another Service", "192.0.2.1": "is not in the pool"}
        for asked, why in refusals.items():
            patch = {"spec": {"loadBalancerIP": asked}}
            await it.client.patch(SERVICES, "a", patch, namespace="default")
            said = f"failed to ensure load balancer: the address {asked} {why}"
            await it.until(lambda said=said: any(said in e["message"] for e in it.fake.objects(EVENTS)))
            assert it.addresses("a") == before
        # The other one goes, and what was asked for in vain is there.
        patch = {"spec": {"loadBalancerIP": "100.65.0.4"}}
        await it.client.patch(SERVICES, "a", patch, namespace="default")
        await it.client.delete(SERVICES, "b", namespace="default")
        await it.until(lambda: it.addresses("a") == ["100.65.0.4"])


async def test_a_second_family_gets_an_address_beside_the_first() -> None:
    async with world(service("web"), pools=("100.65.0.0/29", "fd00:5::/112")) as it:
        await it.until(lambda: it.addresses("web") == ["100.65.0.1"])
        patch = {"spec": {"ipFamilies": ["IPv4", "IPv6"]}}
        await it.client.patch(SERVICES, "web", patch, namespace="default")
        await it.until(lambda: it.addresses("web") == ["100.65.0.1", "fd00:5::1"])


async def test_each_family_has_its_own() -> None:
    two = service("web", ipFamilies=["IPv6", "IPv4"])
    async with world(two, pools=("100.65.0.0/29", "fd00:5::/112")) as it:
        await it.until(lambda: it.addresses("web") == ["fd00:5::1", "100.65.0.1"])
        patch = {"spec": {"ipFamilies": ["IPv6"]}}
        await it.client.patch(SERVICES, "web", patch, namespace="default")
        await it.until(lambda: it.addresses("web") == ["fd00:5::1"])


async def test_a_conflict_is_made_good_with_the_same_address() -> None:
    async with world() as it:
        it.fake.fail("update", "services", conflict(SERVICES, "web"), times=2)
        it.fake.add(service("web"))
        await it.until(lambda: it.addresses("web") == ["100.65.0.1"])


async def test_a_status_that_was_emptied_is_written_anew() -> None:
    async with world(service("web")) as it:
        await it.until(lambda: bool(it.addresses("web")))
        empty = {"status": {"loadBalancer": {"ingress": None}}}
        await it.client.patch(SERVICES, "web", empty, namespace="default", subresource="status")
        await it.until(lambda: it.addresses("web") == ["100.65.0.1"])


async def test_whoever_has_an_address_of_a_former_pool_is_given_another() -> None:
    others = service("others", "192.0.2.9")
    held = service("web", "198.51.100.5")
    async with world(held, others, former=("198.51.100.0/24",)) as it:
        await it.until(lambda: it.addresses("web") == ["100.65.0.1"])
        assert it.addresses("others") == ["192.0.2.9"]


async def test_the_annotation_asks_for_an_address_of_each_family() -> None:
    asking = service("web", ipFamilies=["IPv4", "IPv6"], loadBalancerIP="100.65.0.2")
    asking["metadata"]["annotations"] = {"metallb.io/loadBalancerIPs": "fd00:5::6, 100.65.0.5"}
    async with world(asking, pools=("100.65.0.0/29", "fd00:5::/125")) as it:
        await it.until(lambda: it.addresses("web") == ["100.65.0.5", "fd00:5::6"])
