"""A kubelet among fakes: one node and its API, and the short words for what a Pod's status says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sampan.api.objects import Obj, condition_of
from sampan.api.resources import EVENTS, PODS
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.images.fake import FakeImages, image
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.network.fake import FakeNetwork, Here
from sampan.kubelet.parts import Gate, OpenGate
from sampan.kubelet.runtime.fake import FakeRuntime
from sampan.kubelet.volumes.fake import FakeMounter


class World:
    """One node and its API; `stop` and `start` are a restart of the kubelet alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.api = FakeTransport()
        self.runtime = FakeRuntime()
        self.images = FakeImages()
        self.images.add(image("nginx", cmd=["nginx"]))
        self.network = FakeNetwork()
        self.mounter = FakeMounter()
        self.drains: list[tuple[str, bool]] = []
        self.drain_s = 0.0
        self.gate: Gate = OpenGate()
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self) -> None:
        client = Client(self.api)
        informers = Informers(client)
        self.events = EventRecorder(client, "kubelet", "node")
        self.kubelet = Kubelet(
            client,
            informers,
            self.events,
            self.runtime,
            self.images,
            self.network,
            Here(),
            KubeletConfig("node", self.root, cluster_dns=("10.96.0.10",)),
            self._drained,
            mounter=self.mounter,
            namespace_at=lambda path: Here(),
            gate=self.gate,
        )
        self._tasks = [asyncio.create_task(informers.run()), asyncio.create_task(self.kubelet.run())]

    async def stop(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.wait([task])

    async def _drained(self, pod: Obj) -> None:
        signalled = any(verb.startswith("SIG") for verb, _ in self.runtime.actions)
        self.drains.append((pod["metadata"]["name"], signalled))
        await asyncio.sleep(self.drain_s)

    def pod(self, name: str = "web") -> Obj | None:
        return self.api.get(PODS, name, "default")

    async def until(self, holds: Callable[[Obj], object], name: str = "web", within_s: float = 30.0) -> Obj:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            pod = self.pod(name)
            if pod is not None and holds(pod):
                return pod
            await asyncio.sleep(0.002)
        raise AssertionError(f"never so: {self.pod(name)}")

    async def comes_true(self, looks: Callable[[], bool], within_s: float = 30.0) -> None:
        deadline = time.monotonic() + within_s
        while not looks():
            assert time.monotonic() < deadline, "it never came true"
            await asyncio.sleep(0.005)

    async def until_gone(self, name: str = "web", within_s: float = 30.0) -> None:
        deadline = time.monotonic() + within_s
        while self.pod(name) is not None:
            assert time.monotonic() < deadline, self.pod(name)
            await asyncio.sleep(0.002)

    async def said(self) -> list[tuple[str, str]]:
        await self.events.flush()
        return [(event["reason"], event["message"]) for event in self.api.objects(EVENTS)]

    async def delete(self, grace_s: int = 30, name: str = "web") -> None:
        await Client(self.api).delete(PODS, name, namespace="default", grace_period_s=grace_s)


def make_pod(name: str = "web", **spec: Any) -> Obj:
    containers = spec.pop("containers", None) or [{"name": "web", "image": "nginx"}]
    for container in [*containers, *spec.get("initContainers", [])]:
        container.setdefault("image", "nginx")
        container.setdefault("imagePullPolicy", "IfNotPresent")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": "node", "restartPolicy": "Always", "containers": containers, **spec},
    }


def config_map(name: str, **data: str) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def phase(wanted: str) -> Callable[[Obj], bool]:
    return lambda pod: pod.get("status", {}).get("phase") == wanted


def ready(pod: Obj) -> bool:
    condition = condition_of(pod, "Ready")
    return condition is not None and condition["status"] == "True"


def state(pod: Obj, kind: str = "containerStatuses", index: int = 0) -> Obj:
    statuses = pod.get("status", {}).get(kind) or []
    return statuses[index]["state"] if index < len(statuses) else {}


def restarts(pod: Obj) -> int:
    statuses = pod.get("status", {}).get("containerStatuses") or [{"restartCount": 0}]
    return int(statuses[0]["restartCount"])


def waiting(reason: str) -> Callable[[Obj], bool]:
    return lambda pod: state(pod).get("waiting", {}).get("reason") == reason


@asynccontextmanager
async def running(root: Path) -> AsyncIterator[World]:
    found = World(root)
    found.start()
    await asyncio.wait_for(found.kubelet.registered.wait(), 30)
    try:
        yield found
    finally:
        await found.stop()
