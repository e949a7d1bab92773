from __future__ import annotations

import asyncio

from harness.world import World
from sampan.api.objects import Obj, mutable
from sampan.api.resources import PODS
from sampan.controllers import placement


def pod(name: str, node: str = "", phase: str = "Running") -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase},
    }


async def test_pods_are_found_by_their_node_whatever_their_phase() -> None:
    world = World(pod("a", "n1"), pod("b", "n1", "Succeeded"), pod("c", "n2"), pod("waiting"))
    pods = world.informers.informer(PODS)
    placement.index_pods(pods)
    placement.index_pods(pods)  # by another controller, of the same informer
    running = asyncio.create_task(world.informers.run())

    def on(node: str) -> list[str]:
        return sorted(each["metadata"]["name"] for each in placement.pods_on(pods, node))

    await pods.wait_synced()
    assert (on("n1"), on("n2"), on("n3"), on("")) == (["a", "b"], ["c"], [], [])
    bound = mutable(await world.client.get(PODS, "waiting", "ns"))
    bound["spec"]["nodeName"] = "n2"
    await world.client.update(PODS, bound)
    await world.until(lambda: on("n2") == ["c", "waiting"])
    running.cancel()
    await asyncio.wait([running])
