"""What holds for the table of containers whoever makes them; real ones are in test_crun."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from sampan.kubelet.runtime.builder import Builder
from sampan.kubelet.runtime.cgroup import Cgroups, Layout
from sampan.kubelet.runtime.container import Container
from sampan.kubelet.runtime.containers import Containers
from sampan.kubelet.runtime.contract import ContainerSpec, Exit, RuntimeFault, Sandbox, SandboxSpec
from sampan.kubelet.runtime.oci import OciTools
from sampan.kubelet.runtime.pods import Pod, Pods
from sampan.kubelet.runtime.process import ProcessId, identify
from sampan.kubelet.runtime.state import SandboxState

CGROUP = "/pods/u1"


class Tools:
    """One OCI runtime, which knows the containers in `made`."""

    name = "crun"

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.started: list[str] = []
        self.waiting: set[str] = set()

    def choice(self, handler: str) -> str:
        return self.name

    def of(self, name: str) -> Tools:
        return self

    def known(self) -> list[str]:
        return sorted(self.made)

    def waits(self, container_id: str, pid: int) -> bool:
        return container_id in self.waiting

    async def start(self, container_id: str) -> None:
        self.started.append(container_id)

    async def delete(self, container_id: str) -> None:
        self.made.discard(container_id)


class Maker:
    """Makes a sleeping process of each container, or fails with `fault`."""

    def __init__(self, tools: Tools) -> None:
        self.tools, self.processes = tools, list[subprocess.Popen[bytes]]()
        self.fault: BaseException | None = None
        self.cgroups: list[str] = []

    async def create(self, container: Container, pod: Pod, cgroup: str, holder: Container | None) -> None:
        container.bundle.mkdir()
        self.tools.made.add(container.id)
        self.cgroups.append(cgroup)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        container.state.init, container.state.conmon = self.pair()
        container.watch()
        container.save()

    def run(self, *argv: str) -> subprocess.Popen[bytes]:
        self.processes.append(subprocess.Popen(argv))
        return self.processes[-1]

    def pair(self) -> tuple[ProcessId, ProcessId]:
        """A process and its keeper: who ends once nobody holds the other end of its pipe."""
        read, write = os.pipe()
        init = subprocess.Popen(["sleep", "600"], pass_fds=[write])
        keeper = subprocess.Popen(["cat"], stdin=read, stdout=subprocess.DEVNULL)
        for descriptor in (read, write):
            os.close(descriptor)
        self.processes += [init, keeper]
        first, second = identify(init.pid), identify(keeper.pid)
        assert first is not None and second is not None
        return first, second


class House:
    def __init__(self, root: Path) -> None:
        self.root, self.tools = root, Tools()
        self.maker = Maker(self.tools)
        self.ended: list[tuple[str, int]] = []
        for name in ("containers", "exits", "pods"):
            (root / name).mkdir()
        cgroups = Cgroups(Layout((), {}, unified=False))
        self.pods = Pods(root / "pods", cgroups, node_has_netns=False)
        spec = SandboxSpec("u1", "default", "web", hostname="web", cgroup=CGROUP)
        sandbox = Sandbox("u1")
        self.pods._pods["u1"] = Pod(SandboxState(spec, sandbox), root / "pods" / "u1")
        self.cgroups = cgroups
        self.containers = self.another()

    def another(self) -> Containers:
        """As the next process has them."""
        found = Containers(
            self.root / "containers",
            self.root / "exits",
            cast(OciTools, self.tools),
            self.cgroups,
            self.pods,
            cast(Builder, self.maker),
            self.on_end,
        )
        found.open()
        return found

    def on_end(self, container: Container, exit: Exit) -> None:
        self.ended.append((container.id, exit.code))

    def bundles(self) -> list[str]:
        return sorted(path.name for path in (self.root / "containers").iterdir())


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    found = House(tmp_path)
    yield found
    found.containers.close()
    for process in found.maker.processes:
        process.kill()
        process.wait()


def spec(name: str, sandbox: str = "u1", cgroup: str = "") -> ContainerSpec:
    return ContainerSpec(
        id=name,
        sandbox=sandbox,
        name=name,
        attempt=0,
        lower_dirs=(),
        argv=("true",),
        env={},
        cwd="/",
        user="",
        mounts=(),
        log_path="",
        cgroup=cgroup or f"{CGROUP}/{name}",
    )


async def test_a_container_is_made_once_however_often_it_is_asked_for(house: House) -> None:
    await asyncio.gather(*(house.containers.create(spec("a")) for _ in range(5)))
    assert house.maker.cgroups == [f"{CGROUP}/a"]
    assert [container.id for container in house.containers] == ["a"]


@pytest.mark.parametrize(
    "fault", [OSError("disk full"), RuntimeFault("RunContainerError", "no"), ValueError()]
)
async def test_nothing_is_left_of_what_could_not_be_made(house: House, fault: BaseException) -> None:
    house.maker.fault = fault
    with pytest.raises(BaseException) as caught:
        await house.containers.create(spec("a"))
    if isinstance(fault, OSError):
        assert str(caught.value) == "failed to create container a: disk full"
    else:
        assert caught.value is fault
    assert house.bundles() == [] and house.tools.made == set() and house.containers.get("a") is None


async def test_a_container_needs_its_sandbox(house: House) -> None:
    with pytest.raises(RuntimeFault, match="sandbox u2 does not exist"):
        await house.containers.create(spec("a", sandbox="u2"))


async def test_a_container_that_names_only_its_pods_cgroup_gets_one_below(house: House) -> None:
    await house.containers.create(spec("a"))
    await house.containers.create(spec("b", cgroup=f"{CGROUP}/"))
    assert house.maker.cgroups == [f"{CGROUP}/a", f"{CGROUP}/b"]


async def test_a_container_is_started_once(house: House) -> None:
    await house.containers.create(spec("a"))
    first = await house.containers.start("a")
    assert await house.containers.start("a") == first
    assert house.tools.started == ["a"]


async def test_who_asks_for_what_is_not_there_hears_the_reason(house: House) -> None:
    with pytest.raises(RuntimeFault, match="container a does not exist") as caught:
        house.containers.need("a", "ExecError")
    assert caught.value.reason == "ExecError"
    await house.containers.remove("a")


async def test_a_running_container_is_ended_before_it_is_removed(house: House) -> None:
    await house.containers.create(spec("a"))
    await house.containers.remove("a")
    assert house.ended == [("a", 137)]
    assert house.bundles() == [] and list(house.containers) == []


async def test_the_next_process_takes_over_what_was_finished_and_no_more(house: House) -> None:
    await house.containers.create(spec("a"))
    (house.root / "containers" / "half").mkdir()
    house.tools.made |= {"half", "unheard-of"}
    house.containers.close()
    house.containers = house.another()
    await house.containers.adopt()
    assert [container.id for container in house.containers] == ["a"]
    assert house.bundles() == ["a"] and house.tools.made == {"a"}


async def test_a_container_whose_sandbox_is_gone_is_ended(house: House) -> None:
    await house.containers.create(spec("a"))
    del house.pods._pods["u1"]
    await house.containers.end_homeless()
    assert (await house.containers.need("a", "").wait()).code == 137


async def test_a_start_that_was_noted_and_not_done_is_done_by_the_next_process(house: House) -> None:
    for name in ("begun", "noted"):
        await house.containers.create(spec(name))
        await house.containers.start(name)
    house.tools.waiting.add("noted")
    house.containers.close()
    house.containers = house.another()
    await house.containers.adopt()
    started = {container.id: container.state.started_at_s > 0 for container in house.containers}
    assert started == {"begun": True, "noted": False}
    await house.containers.start("noted")
    assert house.tools.started == ["begun", "noted", "noted"]


async def test_who_still_makes_a_container_for_a_process_that_is_gone_is_ended(house: House) -> None:
    bundle = house.root / "containers" / "half"
    bundle.mkdir()
    maker = house.maker.run("sh", "-c", "sleep 600; true", "-b", str(bundle))
    await house.containers.adopt()
    assert maker.wait(10) == -9
    assert house.bundles() == []


async def test_exit_codes_that_nobody_waits_for_do_not_pile_up(house: House) -> None:
    exits = house.root / "exits"
    (exits / "before").write_text("0")
    await house.containers.adopt()
    assert list(exits.iterdir()) == []
    (house.root / "late").write_text("0")
    (house.root / "late").rename(exits / "late")
    for _ in range(1000):
        if not list(exits.iterdir()):
            break
        await asyncio.sleep(0.01)
    assert list(exits.iterdir()) == []
