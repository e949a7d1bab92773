"""The scheduler over an API server in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import status_error
from sampan.api.objects import Obj, condition_of
from sampan.api.resources import PODS
from sampan.scheduler.scheduler import Scheduler


def node(name: str = "n1", cpu: str = "2", **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"}},
    }


def pod(name: str, cpu: str = "100m", **spec: Any) -> Obj:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "schedulerName": "default-scheduler", **spec},
        "status": {"phase": "Pending"},
    }


class World(BaseWorld):
    def place(self, name: str) -> str:
        found = self.fake.get(PODS, name, "default")
        assert found is not None
        return str(found["spec"].get("nodeName", ""))

    def verdict(self, name: str) -> Obj | None:
        """The condition PodScheduled."""
        found = self.fake.get(PODS, name, "default")
        return condition_of(found, "PodScheduled") if found else None


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), Scheduler)


async def test_pods_are_bound_and_said_to_be() -> None:
    async with world(node(), pod("old")) as it:
        await it.until(lambda: it.place("old") == "n1")
        it.fake.add(pod("new"))
        await it.until(lambda: it.place("new") == "n1")
        assert await it.messages("Scheduled") == [
            "Successfully assigned default/old to n1",
            "Successfully assigned default/new to n1",
        ]


async def test_a_pod_that_does_not_fit_is_told_why_and_bound_when_there_is_room() -> None:
    async with world(node(), pod("big", cpu="1500m", nodeName="n1"), pod("next", cpu="1")) as it:
        said = (
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
            "1 No preemption victims found for incoming pod."
        )
        await it.until(lambda: it.verdict("next") is not None)
        condition = it.verdict("next")
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        assert condition["message"] == said
        assert await it.messages("FailedScheduling") == [said]
        it.fake.remove(PODS, "big", "default")
        await it.until(lambda: it.place("next") == "n1")


async def test_a_resize_that_gives_room_back_wakes_those_that_wait() -> None:
    def sized(asked: str, held: str) -> Obj:
        found = pod("big", asked, nodeName="n1")
        found["metadata"]["generation"] = 2
        name = found["spec"]["containers"][0]["name"]
        held_now = {"requests": {"cpu": held}}
        status = {"name": name, "allocatedResources": held_now["requests"], "resources": held_now}
        return {**found, "status": {"phase": "Running", "containerStatuses": [status]}}

    async with world(node(), sized("2", "2"), pod("late", "1")) as it:
        await asyncio.sleep(0.02)
        it.fake.add(sized("500m", "2"))
        await asyncio.sleep(0.02)
        late = it.fake.get(PODS, "late", "default")
        assert late is not None and "nodeName" not in late["spec"], "the room is still held"
        it.fake.add(sized("500m", "500m"))
        await it.until(lambda: "nodeName" in (it.fake.get(PODS, "late", "default") or {})["spec"])


async def test_a_new_node_wakes_those_that_wait() -> None:
    async with world(pod("early")) as it:
        await it.until(
            lambda: condition_of(it.fake.get(PODS, "early", "default"), "PodScheduled") is not None
        )
        assert await it.messages("FailedScheduling") == ["no nodes available to schedule pods"]
        it.fake.add(node())
        await it.until(lambda: it.place("early") == "n1")


async def test_spread_counts_a_pod_no_more_from_when_it_is_told_to_go() -> None:
    web = {"matchLabels": {"app": "web"}}
    constraint = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "labelSelector": web}
    constraint["whenUnsatisfiable"] = "DoNotSchedule"
    old, new = pod("old", nodeName="n1"), pod("new", topologySpreadConstraints=[constraint])
    for each in (old, new):
        each["metadata"]["labels"] = {"app": "web"}
    async with world(node("n1"), node("n2", unschedulable=True), old, new) as it:
        await it.until(lambda: it.verdict("new") is not None)
        assert it.place("new") == ""
        await it.client.delete(PODS, "old", namespace="default", grace_period_s=30)
        await it.until(lambda: it.place("new") == "n1")


async def test_a_burst_never_overbooks() -> None:
    async with world(node("n1"), node("n2")) as it:
        it.fake.add(*(pod(f"p{n}") for n in range(50)))
        await it.until(lambda: len([1 for n in range(50) if it.place(f"p{n}")]) == 40)
        await asyncio.sleep(0.02)
        places = [it.place(f"p{n}") for n in range(50)]
        assert (places.count("n1"), places.count("n2"), places.count("")) == (20, 20, 10)


async def test_high_priority_first() -> None:
    async with world(node(unschedulable=True)) as it:
        it.fake.add(pod("low", cpu="2", priority=1), pod("high", cpu="2", priority=10))
        await it.until(lambda: bool(it.verdict("low") and it.verdict("high")))
        it.fake.add(node())
        await it.until(lambda: it.place("high") == "n1")
        assert it.place("low") == ""


async def test_gates_hold_a_pod_until_they_are_gone() -> None:
    async with world(node(), pod("gated", schedulingGates=[{"name": "wait"}])) as it:
        await asyncio.sleep(0.02)
        assert it.place("gated") == ""
        await it.client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, namespace="default")
        await it.until(lambda: it.place("gated") == "n1")


async def test_others_schedulers_pods_are_left_alone() -> None:
    async with world(node(), pod("theirs", schedulerName="theirs"), pod("ours")) as it:
        await it.until(lambda: it.place("ours") == "n1")
        assert it.place("theirs") == ""


async def test_a_refused_bind_gives_the_room_back() -> None:
    made = pod("p", cpu="2")
    async with world() as it:
        it.fake.fail("create", "pods/binding", status_error(500, "InternalError", "boom"))
        it.fake.add(node(), made)
        await it.until(lambda: it.place("p") == "n1")
        assert await it.messages("FailedScheduling")


async def test_from_pod_to_bind_takes_no_time() -> None:
    async with world(node(cpu="100")) as it:
        await asyncio.sleep(0.01)
        for n in range(20):
            it.fake.add(pod(f"p{n}"))
            for _ in range(20):  # turns of the loop: no timer has to come
                if it.place(f"p{n}"):
                    break
                await asyncio.sleep(0)
            assert it.place(f"p{n}")
