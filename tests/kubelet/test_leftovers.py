from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sampan.kubelet import leftovers
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.leftovers import Left, Leftovers
from sampan.kubelet.network.fake import FakeNetwork
from sampan.kubelet.parts import OpenGate, Parts
from sampan.kubelet.runtime.contract import ContainerSpec, Exit, RuntimeFault, SandboxSpec
from sampan.kubelet.runtime.fake import FakeRuntime

NOTHING = Left(None, [])


class Node:
    """A node on which an earlier process was; `released` are the Pods whose volumes were given back."""

    def __init__(self, root: Path) -> None:
        self.runtime, self.released = FakeRuntime(), list[str]()
        self.config = KubeletConfig("node", root)
        self.config.pods.mkdir(parents=True)
        volumes = SimpleNamespace(teardown=self._teardown)
        references = SimpleNamespace(release=lambda uid: None)
        parts = SimpleNamespace(
            runtime=self.runtime,
            network=FakeNetwork(),
            gate=OpenGate(),
            volumes=volumes,
            references=references,
            config=self.config,
        )
        self.leftovers = Leftovers(cast(Parts, parts))
        self.runtime.on_exit = lambda container_id, exit: self.told(container_id, exit)
        self.known = dict[str, bool]()
        """Whether the end of a container was one of ours."""

    def told(self, container_id: str, exit: Exit) -> None:
        self.known[container_id] = self.leftovers.ended(container_id)

    async def _teardown(self, uid: str) -> None:
        self.released.append(uid)

    async def pod(self, uid: str, *, started: bool = True) -> None:
        await self.runtime.start_sandbox(SandboxSpec(uid, "default", uid, hostname=uid, cgroup=f"/{uid}"))
        spec = ContainerSpec(
            id=f"{uid}-c",
            sandbox=uid,
            name="c",
            attempt=0,
            lower_dirs=(),
            argv=("sleep",),
            env={},
            cwd="/",
            user="",
            mounts=(),
            log_path="",
            cgroup=f"/{uid}/c",
            stop_signal="SIGINT",
        )
        await self.runtime.create(spec)
        if started:
            await self.runtime.start(spec.id)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    found = Node(tmp_path)
    await found.runtime.open()
    yield found
    for record in found.runtime.records():
        found.runtime.finish(record.spec.id, 0)


async def test_what_a_pod_left_is_taken_once(node: Node) -> None:
    await node.pod("a")
    await node.leftovers.look()
    left = node.leftovers.take("a")
    assert left.sandbox is not None and [record.spec.id for record in left.records] == ["a-c"]
    assert node.leftovers.take("a") == NOTHING
    assert node.leftovers.take("never-there") == NOTHING


async def test_what_was_not_started_is_made_anew(node: Node) -> None:
    await node.pod("a", started=False)
    await node.leftovers.look()
    assert node.leftovers.take("a").records == [] and node.runtime.records() == []


async def test_what_nobody_takes_is_left_over_be_it_a_directory(node: Node) -> None:
    await node.pod("a")
    await node.pod("b")
    (node.config.pods / "half").mkdir()
    await node.leftovers.look()
    node.leftovers.take("a")
    rest = dict(node.leftovers.take_all())
    assert rest.keys() == {"b", "half"} and rest["half"] == NOTHING
    assert node.leftovers.take_all() == []


async def test_a_pod_that_is_gone_is_asked_to_end_and_given_back(node: Node) -> None:
    await node.pod("a")
    (node.config.pods / "a").mkdir()
    await node.leftovers.end("a", node.leftovers.of("a"))
    assert ("SIGINT", "a-c") in node.runtime.actions
    assert node.known == {"a-c": True}
    assert node.runtime.sandboxes() == [] and node.released == ["a"]
    assert not (node.config.pods / "a").exists()
    assert not node.leftovers.ended("a-c")


async def test_who_does_not_listen_is_killed_with_the_sandbox(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "GRACE_S", 0.01)
    monkeypatch.setattr(node.runtime, "signal", lambda container_id, number: None)
    await node.pod("a")
    await node.leftovers.end("a", node.leftovers.of("a"))
    assert node.runtime.records() == [] and node.released == ["a"]


async def test_what_cannot_be_given_back_is_tried_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "RELEASE_RETRY_S", 0.01)
    node.runtime.fail("remove_sandbox", RuntimeFault("KillPodSandboxError", "busy"))
    await node.pod("a")
    async with asyncio.timeout(30):
        await node.leftovers.end("a", node.leftovers.of("a"))
    assert node.released == ["a"]
