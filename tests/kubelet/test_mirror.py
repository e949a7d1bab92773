"""Mirrors are made, made anew and removed, and tried again; the whole of it is seen in test_statics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from harness.kubeletworld import make_pod
from sampan.api.errors import forbidden
from sampan.api.objects import Obj
from sampan.api.resources import PODS
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.kubelet import mirror
from sampan.kubelet.mirror import Mirrors
from sampan.kubelet.staticpods import mirrored

pytestmark = pytest.mark.virtual_time

KEY = "default/web"
NODE: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node", "uid": "n"}}


class Scene:
    def __init__(self) -> None:
        self.api = FakeTransport()
        self.pod: Obj | None = None
        self.node: Obj | None = NODE
        self.mirrors = Mirrors(
            Client(self.api), lambda key: self.pod, lambda key: self.there, lambda: self.node
        )

    @property
    def there(self) -> Obj | None:
        return self.api.get(PODS, "web", "default")

    def runs(self, uid: str) -> None:
        self.pod = make_pod()
        self.pod["metadata"] |= {"uid": uid, "annotations": {}}
        self.mirrors.look(KEY)

    async def until(self, holds: Callable[[Obj | None], object]) -> None:
        deadline = time.monotonic() + 3
        while not holds(self.there):
            assert time.monotonic() < deadline, self.there
            await asyncio.sleep(0.002)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(mirror, "RETRY_S", (0.01,))
    found = Scene()
    task = asyncio.create_task(found.mirrors.run())
    yield found
    task.cancel()
    await asyncio.wait([task])


def stands_for(uid: str) -> Callable[[Obj | None], bool]:
    return lambda pod: pod is not None and mirrored(pod) == uid


async def test_made_again_for_another_content_and_removed(scene: Scene) -> None:
    scene.runs("1")
    await scene.until(stands_for("1"))
    scene.runs("2")
    await scene.until(lambda pod: pod is None)
    scene.mirrors.look(KEY)
    await scene.until(stands_for("2"))
    scene.pod = None
    scene.mirrors.look(KEY)
    await scene.until(lambda pod: pod is None)


async def test_refused_is_tried_again(scene: Scene) -> None:
    scene.api.fail("create", "pods", forbidden(PODS, "web", "no"), times=3)
    scene.runs("1")
    await scene.until(stands_for("1"))


async def test_waits_for_the_node(scene: Scene) -> None:
    scene.node = None
    scene.runs("1")
    await asyncio.sleep(0.03)
    assert scene.there is None
    scene.node = NODE
    await scene.until(stands_for("1"))


async def test_pod_of_its_own_is_left_alone(scene: Scene) -> None:
    scene.api.add(make_pod())
    scene.runs("1")
    await asyncio.sleep(0.03)
    assert scene.there is not None and not mirrored(scene.there)
