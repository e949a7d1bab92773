"""Whatever users do, and whenever the controller starts anew: no two Services share, none waits in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.world import World, running
from sampan.api.errors import StatusError, conflict
from sampan.api.objects import Obj
from sampan.api.resources import SERVICES
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.controllers.loadbalancer.controller import LoadBalancerController
from sampan.controllers.loadbalancer.plan import FINALIZER

POOL, ROOM = "100.65.0.0/30", 2
NAMES = ("a", "b", "c", "d")

steps = st.tuples(
    st.sampled_from(("make", "delete", "ClusterIP", "LoadBalancer", "copy", "clear", "conflict", "restart")),
    st.sampled_from(NAMES),
)


def service(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"]},
        "status": {"loadBalancer": {}},
    }


def given_to(found: Obj) -> list[str]:
    return [entry["ip"] for entry in found["status"]["loadBalancer"].get("ingress") or ()]


class Balanced(World):
    def state(self) -> object:
        return list(wrong(self))


async def happen(world: World, what: str, name: str) -> None:
    try:
        match what:
            case "make":
                await world.client.create(SERVICES, service(name))
            case "delete":
                await world.client.delete(SERVICES, name, namespace="default")
            case "ClusterIP" | "LoadBalancer":
                await world.client.patch(SERVICES, name, {"spec": {"type": what}}, namespace="default")
            case "copy" | "clear":
                ingress = [{"ip": "100.65.0.1", "ipMode": "VIP"}] if what == "copy" else None
                patch = {"status": {"loadBalancer": {"ingress": ingress}}}
                await world.client.patch(SERVICES, name, patch, namespace="default", subresource="status")
            case "conflict":
                world.fake.fail("update", "services", conflict(SERVICES, name))
    except StatusError as error:
        assert error.code in (404, 409)


def wrong(world: World) -> Iterator[str]:
    """What is not as it should be once all is quiet."""
    services = world.fake.objects(SERVICES)
    addresses = [address for each in services for address in given_to(each)]
    if len(set(addresses)) != len(addresses):
        yield f"shared: {addresses}"
    balanced = [each for each in services if each["spec"]["type"] == "LoadBalancer"]
    served = [each for each in balanced if given_to(each)]
    if len(served) != min(ROOM, len(balanced)):
        yield f"{len(served)} of {len(balanced)} are served"
    for each in services:
        kept = FINALIZER in (each["metadata"].get("finalizers") or ())
        if kept != bool(given_to(each)) or (kept and each not in served):
            yield f"left behind: {each}"


def balancer(client: Client, informers: Informers, events: EventRecorder) -> LoadBalancerController:
    return LoadBalancerController(client, informers, events, (POOL,))


async def live(history: list[tuple[str, str]]) -> None:
    fake = FakeTransport(*(service(name) for name in NAMES[: ROOM + 1]))
    while True:
        async with running(
            Balanced(fake=fake), lambda *given: LoadBalancerController(*given, (POOL,))
        ) as world:
            while history and history[0][0] != "restart":
                await happen(world, *history.pop(0))
            if not history:
                await world.until(lambda: not list(wrong(world)))
                return
            del history[0]


@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=14))
def test_no_two_share_and_none_waits_in_vain(history: list[tuple[str, str]]) -> None:
    asyncio.run(live(history))
