from __future__ import annotations

import asyncio

import pytest

from sampan.kubelet.runtime.contract import ContainerSpec, Exit, RuntimeFault, SandboxSpec
from sampan.kubelet.runtime.fake import FakeRuntime

pytestmark = pytest.mark.virtual_time


async def test_a_script_decides_how_things_go() -> None:
    runtime = FakeRuntime()
    exits: list[tuple[str, Exit]] = []
    runtime.on_exit = lambda container_id, exit: exits.append((container_id, exit))
    await runtime.open()
    await runtime.start_sandbox(SandboxSpec("u1", "d", "n", hostname="h", cgroup="/cg"))
    spec = ContainerSpec("c1", "u1", "web", 0, (), ("nginx",), {}, "/", "", (), "", "/cg/c1")
    runtime.fail("create", RuntimeFault("CreateContainerError", "no such device"))
    with pytest.raises(RuntimeFault, match="no such device"):
        await runtime.create(spec)
    await runtime.create(spec)
    await runtime.start("c1")
    await asyncio.sleep(0)
    assert exits == []
    runtime.finish("c1", 137, oom=True)
    runtime.finish("c1", 0)
    await asyncio.sleep(0)
    assert [(container_id, exit.code, exit.oom) for container_id, exit in exits] == [("c1", 137, True)]
    assert runtime.actions == [
        ("start_sandbox", "u1"),
        ("create", "c1"),
        ("create", "c1"),
        ("start", "c1"),
    ]
