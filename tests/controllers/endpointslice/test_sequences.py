"""Whatever happens to Pods, in whatever order: the slices say it, each endpoint once, and in few writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.world import World, running
from sampan.api.errors import conflict, status_error
from sampan.api.objects import Obj, mutable, name_of
from sampan.api.resources import ENDPOINT_SLICES, NODES, PODS
from sampan.controllers.endpointslice.controller import EndpointSliceController
from sampan.controllers.endpointslice.plan import MOST_ENDPOINTS

PODS_MOST = 260


class State(NamedTuple):
    app: str = "web"
    ready: bool = True
    deleting: bool = False
    port: int = 8080
    node: str = "n1"
    phase: str = "Running"


class Step(NamedTuple):
    """`what` happens to the Pods from `first` on, `count` of them."""

    what: str
    first: int
    count: int


CHANGES = {
    "arrive": State(),
    "fail readiness": State(ready=False),
    "begin to end": State(deleting=True),
    "end": State(phase="Failed"),
    "stray": State(app="db"),
    "serve elsewhere": State(port=9090),
    "sit on a lost node": State(node="lost"),
}
DISTURBANCES = ("conflict", "fail a write", "meddle", "say twice", "lose a slice")
numbers, sizes = st.integers(0, PODS_MOST - 1), st.sampled_from([1, 1, 1, 30, 130, 250])
quiet = st.builds(Step, st.sampled_from([*CHANGES, "go"]), numbers, sizes)
disturbing = st.builds(Step, st.sampled_from(DISTURBANCES), numbers, sizes)

SERVICE: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": {"app": "web"},
        "clusterIP": "10.96.0.7",
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    },
}
NODE: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}


def address(number: int) -> str:
    return f"10.244.{number // 250}.{number % 250 + 1}"


def pod(number: int, state: State) -> Obj:
    metadata: Obj = {"name": f"p{number}", "namespace": "default", "labels": {"app": state.app}}
    if state.deleting:
        metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["kept"]}
    ports = [{"name": "http", "containerPort": state.port}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": state.node, "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": state.phase,
            "podIPs": [{"ip": address(number)}],
            "conditions": [{"type": "Ready", "status": str(state.ready)}],
        },
    }


class Model:
    """What should be said of the Pods there are."""

    def __init__(self) -> None:
        self.pods: dict[int, State] = {}

    def endpoints(self) -> list[tuple[str, int, bool, bool]]:
        """(address, port, ready, terminating), sorted."""
        return sorted(
            (address(number), state.port, state.ready and not state.deleting, state.deleting)
            for number, state in self.pods.items()
            if state.app == "web" and state.phase == "Running" and state.node == "n1"
        )


def said(pieces: Iterable[Obj]) -> list[tuple[str, int, bool, bool]]:
    return sorted(
        (
            endpoint["addresses"][0],
            piece["ports"][0]["port"],
            endpoint["conditions"]["ready"],
            endpoint["conditions"]["terminating"],
        )
        for piece in pieces
        for endpoint in piece["endpoints"]
    )


def happen(world: World, model: Model, step: Step) -> None:
    pieces = world.fake.objects(ENDPOINT_SLICES)
    if step.what == "conflict":
        world.fake.fail("update", "endpointslices", conflict(ENDPOINT_SLICES, "web"))
    elif step.what == "fail a write":
        world.fake.fail("create", "endpointslices", status_error(500, "InternalError", "out of order"))
    elif step.what == "meddle" and pieces:
        meddled = mutable(pieces[step.first % len(pieces)])
        meddled["endpoints"] = meddled["endpoints"][step.count :]
        world.fake.add(meddled)
    elif step.what == "say twice" and pieces:
        full = mutable(pieces[step.first % len(pieces)])
        full["endpoints"] += mutable(pieces[step.count % len(pieces)])["endpoints"]
        world.fake.add(full)
    elif step.what == "lose a slice" and pieces:
        world.fake.remove(ENDPOINT_SLICES, name_of(pieces[step.first % len(pieces)]), "default")
    for number in range(step.first, min(step.first + step.count, PODS_MOST)):
        if step.what in CHANGES:
            now = CHANGES[step.what]
            if number in model.pods and model.pods[number].port != now.port:
                world.fake.remove(PODS, f"p{number}", "default")  # ports are for life: it is another Pod
            model.pods[number] = now
            world.fake.add(pod(number, now))
        elif step.what == "go" and model.pods.pop(number, None):
            world.fake.remove(PODS, f"p{number}", "default")


def writes(world: World) -> int:
    return sum(action.plural == "endpointslices" for action in world.fake.actions)


async def live(history: list[Step], together: bool) -> None:
    """`together`: the next thing happens before the controller is done with the last one."""
    model, world = Model(), World(SERVICE, NODE)
    disturbed = any(step.what in DISTURBANCES for step in history)
    async with running(world, EndpointSliceController):
        for number, step in enumerate(history):
            world.fake.actions.clear()
            happen(world, model, step)
            if together and number < len(history) - 1:
                await asyncio.sleep(0)
                continue
            await world.until(lambda: said(world.fake.objects(ENDPOINT_SLICES)) == model.endpoints())
            pieces = world.fake.objects(ENDPOINT_SLICES)
            assert all(len(piece["endpoints"]) <= MOST_ENDPOINTS for piece in pieces)
            if step.count == 1 and not disturbed and not together:
                assert writes(world) <= 2, "the slice that the Pod leaves and the one that it joins"
        await settled(world)
        world.fake.actions.clear()
        world.fake.add({**SERVICE, "metadata": {**SERVICE["metadata"], "annotations": {"look": "again"}}})
        await settled(world)
        assert disturbed or writes(world) == 0, "a second look found something to do"


async def settled(world: World) -> None:
    """Returns once nothing was written for so many turns that nothing undisturbed can be on its way."""
    before = -1
    while before != writes(world):
        before = writes(world)
        for _ in range(50):
            await asyncio.sleep(0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(quiet, max_size=8) | st.lists(quiet | disturbing, max_size=8), st.booleans())
def test_the_slices_say_what_is_there(history: list[Step], together: bool) -> None:
    asyncio.run(live(history, together))


def test_the_nodes_fate_is_its_pods() -> None:
    async def run() -> None:
        async with running(World(SERVICE, NODE, pod(0, State())), EndpointSliceController) as world:
            await world.until(lambda: len(said(world.fake.objects(ENDPOINT_SLICES))) == 1)
            world.fake.remove(NODES, "n1")
            await world.until(lambda: said(world.fake.objects(ENDPOINT_SLICES)) == [])

    asyncio.run(run())
