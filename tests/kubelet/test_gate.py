"""No container before the gate has let its Pod onto the network, and the gate hears who has gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.kubeletworld import World, make_pod, ready
from sampan.api.objects import Obj, uid_of
from sampan.api.prometheus import Family

pytestmark = pytest.mark.virtual_time

COMPLAINT = "network policies for 10.244.0.2 are not in the kernel after 20 s"


class ClosedGate:
    """Lets nobody pass before `open` is set; what it is told stands in `said`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.refuses = False
        self.said: list[tuple[str, str, tuple[str, ...]]] = []

    async def admitted(self, pod: Obj, ips: tuple[str, ...]) -> None:
        self.said.append(("admitted", uid_of(pod), ips))
        if self.refuses:
            self.refuses = False
            raise OSError(COMPLAINT)
        await self.open.wait()

    def left(self, uid: str) -> None:
        self.said.append(("left", uid, ()))

    async def families(self) -> list[Family]:
        return []


def world_with(gate: ClosedGate, root: Path) -> World:
    world = World(root)
    world.gate = gate
    world.start()
    return world


def started(world: World) -> bool:
    return any(verb == "start" for verb, _ in world.runtime.actions)


async def test_no_container_starts_before_the_gate_is_open(tmp_path: Path) -> None:
    gate = ClosedGate()
    world = world_with(gate, tmp_path)
    try:
        world.api.add(make_pod())
        await world.comes_true(lambda: bool(gate.said), within_s=20)
        assert gate.said[0][2] == ("10.244.0.2",)
        await asyncio.sleep(0.1)
        assert not started(world)
        gate.open.set()
        pod = await world.until(ready, within_s=20)
        assert started(world)
        await world.delete(0)
        await world.comes_true(lambda: gate.said[-1] == ("left", uid_of(pod), ()), within_s=20)
    finally:
        await world.stop()


async def test_a_pod_that_is_not_let_in_says_why_and_tries_again(tmp_path: Path) -> None:
    gate = ClosedGate()
    gate.refuses = True
    gate.open.set()
    world = world_with(gate, tmp_path)
    try:
        world.api.add(make_pod())
        await world.until(ready, within_s=20)
        assert ("FailedCreatePodSandBox", f"Failed to create pod sandbox: {COMPLAINT}") in await world.said()
        assert [word for word, _, _ in gate.said] == ["admitted", "admitted"]
    finally:
        await world.stop()


async def test_pods_on_the_nodes_network_are_not_asked_about(tmp_path: Path) -> None:
    gate = ClosedGate()
    world = world_with(gate, tmp_path)
    try:
        world.api.add(make_pod(hostNetwork=True))
        await world.until(ready, within_s=20)
        assert [word for word, _, _ in gate.said if word == "admitted"] == []
    finally:
        await world.stop()


async def test_a_kubelet_that_comes_back_tells_the_gate_who_is_there(tmp_path: Path) -> None:
    gate = ClosedGate()
    gate.open.set()
    world = world_with(gate, tmp_path)
    try:
        world.api.add(make_pod())
        pod = await world.until(ready, within_s=20)
        await world.stop()
        gate.said.clear()
        world.start()
        await world.comes_true(lambda: bool(gate.said), within_s=20)
        assert set(gate.said) == {("admitted", uid_of(pod), ("10.244.0.2",))}
    finally:
        await world.stop()
