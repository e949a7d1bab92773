"""Real containers: what the contract leaves open, and what must be left when all is over: nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sampan.kubelet.runtime import capabilities, containers, mounts, rootfs
from sampan.kubelet.runtime.contract import (
    ContainerSpec,
    Exit,
    Mount,
    ProcessUser,
    Resources,
    RuntimeFault,
    SandboxSpec,
    Security,
)
from sampan.kubelet.runtime.crun import CrunRuntime
from sampan.kubelet.runtime.process import Watched, identify, is_zombie, run, spawn
from sampan.kubelet.runtime.purge import purge

pytestmark = pytest.mark.root

CGROUP = f"/sampan-test-crun-{os.getpid()}"


class Node:
    def __init__(self, root: Path, layer: Path) -> None:
        self.root, self.layer = root / "data", layer
        self.root.mkdir()
        self.exits: dict[str, list[Exit]] = {}
        self._told = asyncio.Event()
        self.runtime = self.another()
        self._number = 0

    def another(self, **options: Any) -> CrunRuntime:
        runtime = CrunRuntime(self.root, **options)
        runtime.on_exit = self._on_exit
        return runtime

    def _on_exit(self, container_id: str, exit: Exit) -> None:
        self.exits.setdefault(container_id, []).append(exit)
        self._told.set()

    async def sandbox(self, uid: str = "u1", **changes: Any) -> None:
        spec = SandboxSpec(uid, "default", "web", hostname="web-0", cgroup=f"{CGROUP}/burstable/pod{uid}")
        await self.runtime.start_sandbox(dataclasses.replace(spec, **changes))

    def spec(self, *argv: str, uid: str = "u1", **changes: Any) -> ContainerSpec:
        self._number += 1
        name = changes.pop("id", f"c{self._number}")
        spec = ContainerSpec(
            id=name,
            sandbox=uid,
            name="main",
            attempt=0,
            lower_dirs=(str(self.layer),),
            argv=argv,
            env={},
            cwd="/",
            user="",
            mounts=(),
            log_path=f"{self.root}/logs/{name}.log",
            cgroup=f"{CGROUP}/burstable/pod{uid}/{name}",
        )
        return dataclasses.replace(spec, **changes)

    async def start(self, *argv: str, **changes: Any) -> str:
        spec = self.spec(*argv, **changes)
        await self.runtime.create(spec)
        await self.runtime.start(spec.id)
        return spec.id

    async def ended(self, container_id: str) -> Exit:
        async with asyncio.timeout(30):
            while container_id not in self.exits:
                self._told.clear()
                await self._told.wait()
        return self.exits[container_id][0]

    def log(self, container_id: str) -> str:
        lines = Path(f"{self.root}/logs/{container_id}.log").read_text().splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    async def output(self, script: str, **changes: Any) -> str:
        """What a shell script in a container of its own says, until it has ended with 0."""
        container_id = await self.start("sh", "-c", script, **changes)
        exit = await self.ended(container_id)
        assert exit.code == 0, self.log(container_id)
        return self.log(container_id)

    async def ask(self, container_id: str, script: str) -> str:
        process = await self.runtime.exec(container_id, ["sh", "-c", script])
        assert process.stderr is not None
        out, err = await process.stdout.read(), await process.stderr.read()
        assert await process.wait() == 0, err
        return out.decode().strip()


def leftovers(root: Path) -> list[str]:
    """What a cluster may not leave: mounts, cgroups, conmons."""
    found = [point.target for point in mounts.table() if point.target.startswith(str(root))]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*{CGROUP}")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = process.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(root) in text and "conmon" in text:
            found.append(text.replace("\0", " "))
    return found


@pytest.fixture
async def node(busybox_layer: Path) -> AsyncIterator[Node]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        found = Node(Path(directory), busybox_layer)
        await found.runtime.open()
        yield found
        await found.runtime.close()
        await purge(found.root)
        assert leftovers(found.root) == []


async def test_a_lingering_conmon_is_killed_and_buried(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "CONMON_DEADLINE_S", 0.05)
    await node.sandbox()
    container_id = await node.start("true")
    await node.ended(container_id)
    container = node.runtime._containers.need(container_id, "")
    await container.wait_conmon()
    lingering = spawn(["sleep", "100"])
    identity = identify(lingering.pid)
    assert identity is not None
    container._conmon_gone.clear()
    container._conmon = Watched(identity, container._conmon_ended)
    await node.runtime.remove(container_id)
    assert not is_zombie(lingering.pid)
    lingering.wait()


async def test_containers_of_a_pod_share_network_name_and_memory(node: Node) -> None:
    await node.sandbox()
    first = await node.start("sh", "-c", "echo shared >/dev/shm/x; exec nc -l -p 6379 -e echo pong")
    second = await node.start("sleep", "100")
    await node.ask(second, "until nc -w 1 127.0.0.1 6379 >/tmp/answer </dev/null; do sleep 0.05; done")
    assert await node.ask(second, "cat /tmp/answer") == "pong"
    assert await node.ask(second, "cat /dev/shm/x; hostname; echo $HOSTNAME") == "shared\nweb-0\nweb-0"
    spaces = "for kind in net ipc uts; do readlink /proc/self/ns/$kind; done"
    assert await node.ask(second, spaces) == await node.output(spaces)
    private = "readlink /proc/self/ns/pid"
    assert await node.ask(second, private) != await node.output(private)
    assert first in {record.spec.id for record in node.runtime.records()}


async def test_namespaces_outlive_a_container(node: Node) -> None:
    await node.sandbox()
    before = await node.output("readlink /proc/self/ns/net")
    assert await node.output("readlink /proc/self/ns/net") == before
    assert str(Path("/proc/self/ns/net").readlink()) != before
    assert await node.output("ip addr show lo | grep -c 127.0.0.1") == "1"


async def test_the_containers_are_walled_in(node: Node) -> None:
    await node.sandbox()
    status = await node.output("cat /proc/self/status")
    assert "CapBnd:\t00000000a80425fb" in status
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t0" in status
    assert await node.output("cat /proc/keys | wc -c; ls /sys/firmware | wc -l") == "0\n0"
    for forbidden in ("touch /sys/x", "echo 1 >/proc/sys/vm/swappiness", "mount -t tmpfs t /tmp"):
        assert await node.output(f"({forbidden}) 2>/dev/null || echo refused") == "refused"
    assert await node.output("ls /dev | sort | tr '\\n' ' '") == (
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
    )
    # The second container takes the compiled filter of the first.
    assert "Seccomp:\t2" in await node.output("cat /proc/self/status")
    assert len(list((node.root / "run" / "seccomp").iterdir())) == 1


async def test_the_default_profile_refuses_what_needs_a_capability(node: Node) -> None:
    await node.sandbox()
    script = "unshare -n true 2>&1; unshare -n true 2>&1"
    refused = "unshare: unshare(0x40000000): Operation not permitted"
    assert (await node.output(f"{script}; true")).splitlines() == [refused, refused]
    unconfined = Security(seccomp="Unconfined", add_capabilities=("SYS_ADMIN",))
    assert await node.output(script, security=unconfined) == ""


@pytest.mark.parametrize(
    ("user", "security", "answer"),
    [
        ("", Security(), "0 0 0 /root"),
        ("alice", Security(), "1000 1000 1000 50 /home/alice"),
        ("1000", Security(groups=(2000,)), "1000 1000 1000 50 2000 /home/alice"),
        ("alice:staff", Security(), "1000 50 50 /home/alice"),
        ("alice", Security(uid=4242), "4242 0 0 /"),
        ("alice", Security(uid=4242, gid=4343, groups=(1, 2)), "4242 4343 4343 1 2 /"),
        ("", Security(gid=7), "0 7 7 /root"),
    ],
)
async def test_a_container_runs_as_the_image_or_the_pod_says(
    node: Node, user: str, security: Security, answer: str
) -> None:
    await node.sandbox()
    assert await node.output("echo $(id -u) $(id -g) $(id -G) $HOME", user=user, security=security) == answer
    container_id = await node.start("sleep", "9", user=user, security=security)
    assert await node.ask(container_id, "echo $(id -u) $(id -g) $(id -G) $HOME") == answer


async def test_privileged_means_all_this_node_can_give(node: Node) -> None:
    await node.sandbox()
    own = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("CapBnd"))
    security = Security(privileged=True)
    assert own in await node.output("cat /proc/self/status", security=security)
    script = "mount -t tmpfs t /tmp && test -c /dev/kmsg && test -w /proc/sys/vm/swappiness && echo ok"
    assert await node.output(script, security=security) == "ok"


async def test_a_read_only_root_and_its_mounts(node: Node) -> None:
    await node.sandbox()
    outside = node.root / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "hosts").write_text("127.0.0.1 localhost\n")
    wanted = (
        Mount(str(outside / "sub"), "/data/deep/inner"),
        Mount(str(outside), "/data/deep", read_only=True),
        Mount(str(outside / "hosts"), "/etc/hosts"),
    )
    script = (
        "touch /x 2>/dev/null || echo root; touch /data/deep/y 2>/dev/null || echo outer; "
        "touch /data/deep/inner/z && cat /etc/hosts && touch /dev/shm/w && echo done"
    )
    (outside / "inner").mkdir()
    said = await node.output(script, mounts=wanted, security=Security(read_only_root=True))
    assert said == "root\nouter\n127.0.0.1 localhost\ndone"
    assert (outside / "sub" / "z").exists()


async def test_memory_is_limited_and_an_oom_kill_is_named(node: Node) -> None:
    await node.sandbox()
    hog = "x=a; while true; do x=$x$x; done"
    limits = Resources(memory_bytes=16 << 20, oom_score_adj=900)
    exit = await node.ended(await node.start("sh", "-c", hog, resources=limits))
    assert (exit.code, exit.oom) == (137, True)
    child_only = await node.start("sh", "-c", f"sh -c '{hog}'; exit 0", resources=limits)
    assert dataclasses.replace(await node.ended(child_only), finished_at_s=0) == Exit(0, 0)


async def test_limits_reach_the_kernel_and_change_while_it_runs(node: Node) -> None:
    await node.sandbox()
    limits = Resources(cpu_shares=102, cpu_quota_us=20000, memory_bytes=32 << 20, pids=50)
    container_id = await node.start("sleep", "100", resources=limits)
    cgroup = Path("/sys/fs/cgroup"), f"{CGROUP}/burstable/podu1/{container_id}".lstrip("/")
    if node.runtime.host.layout.unified:
        pytest.skip("the file names below are cgroup v1's")

    def read(controller: str, file: str) -> str:
        return (cgroup[0] / controller / cgroup[1] / file).read_text().strip()

    assert read("cpu", "cpu.shares") == "102"
    assert read("cpu", "cpu.cfs_quota_us") == "20000"
    assert read("memory", "memory.limit_in_bytes") == str(32 << 20)
    assert read("pids", "pids.max") == "50"
    await node.runtime.set_resources(container_id, Resources(cpu_shares=512, memory_bytes=64 << 20))
    assert read("cpu", "cpu.shares") == "512"
    assert read("cpu", "cpu.cfs_quota_us") == "-1"
    assert read("memory", "memory.limit_in_bytes") == str(64 << 20)
    stats = node.runtime.stats(container_id)
    assert stats.memory_bytes > 0
    assert stats.pids == 1
    assert node.runtime.sandbox_stats("u1").memory_bytes >= stats.memory_bytes


async def test_a_pod_has_limits_of_its_own(node: Node) -> None:
    await node.sandbox(resources=Resources(memory_bytes=16 << 20))
    exit = await node.ended(await node.start("sh", "-c", "x=a; while true; do x=$x$x; done"))
    assert (exit.code, exit.oom) == (137, True)


async def test_a_shared_process_namespace(node: Node) -> None:
    await node.sandbox(share_pid=True)
    await node.start("sleep", "4321")
    assert await node.output("ps | grep -c '[s]leep 4321'") == "1"
    assert len(node.runtime.records()) == 2
    await node.runtime.remove_sandbox("u1")
    assert [exit.code for exits in node.exits.values() for exit in exits] == [0, 137]


async def test_a_shared_process_namespace_that_was_killed_is_made_anew(node: Node) -> None:
    await node.sandbox(share_pid=True)
    first = await node.start("sleep", "4321")
    state = json.loads((node.root / "containers" / "u1-pause" / "container.json").read_text())
    os.kill(state["init"]["pid"], signal.SIGKILL)
    assert (await node.ended(first)).code == 137
    await asyncio.gather(*(node.start("sleep", "4321") for _ in range(2)))
    assert await node.output("ps | grep -c '[s]leep 4321'") == "2"
    await node.runtime.remove_sandbox("u1")


async def vanished(pid: int) -> None:
    for _ in range(3000):
        if not Path(f"/proc/{pid}").exists():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"process {pid} is still there")


async def killed(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Again and again, for it may not have come to hear of signals."""
    descriptor = os.pidfd_open(pid)
    for _ in range(300):
        signal.pidfd_send_signal(descriptor, number)
        if (await asyncio.to_thread(select.select, [descriptor], [], [], 0.1))[0]:
            break
    os.close(descriptor)


async def test_what_a_runtime_leaves_behind_is_buried(node: Node, tmp_path: Path) -> None:
    (tmp_path / "crun").symlink_to("/bin/sleep")
    script = f"{tmp_path}/crun 0.1 >/dev/null 2>&1 & echo $!"
    left = int((await run(["sh", "-c", script], deadline_s=30)).output)
    await vanished(left)


async def test_host_network_is_the_nodes(node: Node) -> None:
    await node.sandbox("u1", host_network=True)
    space = "readlink /proc/self/ns/net"
    assert await node.output(space) == str(Path("/proc/self/ns/net").readlink())
    await node.sandbox("u2")
    pinned = node.root / "run" / "sandboxes" / "u2" / "net"
    await node.runtime.close()
    node.runtime = node.another(node_netns=str(pinned))
    await node.runtime.open()
    await node.sandbox("u3", host_network=True, hostname="node-1")
    inside = await node.output(space + "; hostname", uid="u3")
    assert inside == await node.output(space, uid="u2") + "\nnode-1"
    await node.runtime.remove_sandbox("u3")


async def test_sysctls_of_the_pod_alone(node: Node) -> None:
    before = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    await node.sandbox(sysctls={"net.ipv4.ip_local_port_range": "2000 3000", "kernel.shm_rmid_forced": "1"})
    seen = "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced"
    assert (await node.output(seen)).split() == ["2000", "3000", "1"]
    assert Path("/proc/sys/net/ipv4/ip_local_port_range").read_text() == before
    for name, why in {
        "vm.swappiness": "not namespaced",
        "kernel.shm/../../vm/swappiness": "needs a|not namespaced",
        "net.ipv4.nonsense": "cannot be set",
    }.items():
        with pytest.raises(RuntimeFault, match=why):
            await node.sandbox("u2", sysctls={name: "1"})
    with pytest.raises(RuntimeFault, match="needs a net namespace"):
        await node.sandbox("u2", host_network=True, sysctls={"net.ipv4.ip_forward": "1"})
    await node.runtime.remove_sandbox("u2")


async def test_what_cannot_run_says_why_and_leaves_nothing(node: Node) -> None:
    await node.sandbox()
    for changes, reason, why in (
        ({"argv": ("/nope",)}, "RunContainerError", "executable file `/nope` not found"),
        ({"user": "bob"}, "CreateContainerError", "unable to find user bob"),
        ({"user": "alice:nobody"}, "CreateContainerError", "unable to find group nobody"),
        ({"mounts": (Mount("/nowhere", "/x"),)}, "RunContainerError", "/nowhere"),
        ({"lower_dirs": ("/nowhere",)}, "CreateContainerError", "No such file"),
        ({"lower_dirs": ()}, "CreateContainerError", "no layers"),
        ({"security": Security(seccomp="Localhost/x.json")}, "CreateContainerError", "x.json"),
        ({"security": Security(seccomp="Localhost/../x")}, "CreateContainerError", "must lie below"),
        ({"id": "../x"}, "CreateContainerError", "cannot be the name"),
    ):
        with pytest.raises(RuntimeFault, match=why) as caught:
            await node.start(*changes.pop("argv", ("true",)), **changes)
        assert caught.value.reason == reason
    assert list(node.runtime.records()) == []
    assert list((node.root / "containers").iterdir()) == []
    assert list((node.root / "run" / "crun").iterdir()) == []
    # The same name can be used again.
    await node.start("true", id="c1")
    assert (await node.ended("c1")).code == 0


async def test_more_layers_than_one_page_of_mount_options(node: Node) -> None:
    await node.sandbox()
    layers = node.root / "layers"
    for number in range(120):
        directory = layers / f"{number:028d}"
        directory.mkdir(parents=True)
        (directory / "top").write_text(str(number))
    (layers / "busybox").symlink_to(node.layer)
    lower = tuple(str(layers / f"{number:028d}") for number in range(120))
    assert await node.output("cat /top", lower_dirs=(*lower, str(layers / "busybox"))) == "0"
    assert Path.cwd() != layers


async def test_five_megabytes_come_through_whole(node: Node) -> None:
    await node.sandbox()
    container_id = await node.start("cat", stdin=True)
    script = "dd if=/dev/zero bs=1M count=5 2>/dev/null | tr '\\0' 'x'"
    process = await node.runtime.exec(container_id, ["sh", "-c", script])
    data = await process.stdout.read()
    assert (len(data), set(data)) == (5 << 20, {ord("x")})
    attached = await node.runtime.attach(container_id)
    sent = os.urandom(5 << 20)

    async def feed() -> None:
        assert attached.stdin is not None
        attached.stdin.write(sent)
        await attached.stdin.drain()

    async with asyncio.timeout(30):
        _, received = await asyncio.gather(feed(), attached.stdout.readexactly(5 << 20))
    assert received == sent
    await attached.kill()


async def test_stdin_goes_on_with_the_next_client_unless_once(node: Node) -> None:
    await node.sandbox()
    container_id = await node.start("cat", stdin=True)
    for text in (b"one\n", b"two\n"):
        attached = await node.runtime.attach(container_id)
        assert attached.stdin is not None
        attached.stdin.write(text)
        async with asyncio.timeout(30):
            assert await attached.stdout.readline() == text
        await attached.kill()
    assert container_id not in node.exits


async def test_an_attached_terminal_is_resized(node: Node) -> None:
    await node.sandbox()
    spec = node.spec("sh", "-c", "while read x; do stty size; done", stdin=True, tty=True)
    await node.runtime.create(spec)
    attached = await node.runtime.attach(spec.id)
    await node.runtime.start(spec.id)
    attached.resize(111, 22)
    assert attached.stdin is not None
    async with asyncio.timeout(30):
        attached.stdin.write(b"\n")
        # conmon takes the size and the input from different files, in no order.
        while b"22 111" not in await attached.stdout.readline():
            attached.stdin.write(b"\n")
    await attached.kill()


async def test_a_rotated_log_goes_on_in_a_new_file(node: Node) -> None:
    await node.sandbox()
    container_id = await node.start("cat", stdin=True)
    attached = await node.runtime.attach(container_id)
    assert attached.stdin is not None
    attached.stdin.write(b"one\n")
    await attached.stdout.readline()
    log = Path(f"{node.root}/logs/{container_id}.log")
    log.rename(log.with_suffix(".old"))
    node.runtime.reopen_log(container_id)
    async with asyncio.timeout(30):
        await asyncio.to_thread(subprocess.run, ["sh", "-c", f"until [ -e {log} ]; do sleep 0.01; done"])
    attached.stdin.write(b"two\n")
    await attached.stdout.readline()
    assert node.log(container_id) == "two"
    await attached.kill()


async def test_a_command_that_cannot_start_says_so(node: Node) -> None:
    await node.sandbox()
    container_id = await node.start("sleep", "100")
    process = await node.runtime.exec(container_id, ["/nope"])
    assert process.stderr is not None
    assert b"not found" in await process.stderr.read()
    assert await process.wait() == 126
    assert not process.started
    process = await node.runtime.exec(container_id, ["/nope"], tty=True)
    assert b"not found" in await process.stdout.read()
    assert await process.wait() == 126
    assert list((node.root / "run" / "exec").iterdir()) == []


async def test_what_a_failed_command_left_does_not_keep_the_container_alive(node: Node) -> None:
    await node.sandbox()
    container_id = await node.start("sleep", "100")
    assert await (await node.runtime.exec(container_id, ["/nope"])).wait() == 126
    node.runtime.signal(container_id, signal.SIGKILL)
    async with asyncio.timeout(30):
        assert (await node.ended(container_id)).code == 137


async def test_a_container_whose_conmon_dies_is_ended(node: Node) -> None:
    """It could log nothing more, and stopping at a full pipe would be all it does."""
    await node.sandbox()
    container_id = await node.start("sleep", "100")
    os.kill(int((node.root / "containers" / container_id / "conmon.pid").read_text()), signal.SIGKILL)
    exit = await node.ended(container_id)
    assert (exit.code, exit.unknown) == (137, False)


async def test_a_container_that_lost_its_bundle_or_its_sandbox_is_ended(node: Node) -> None:
    await node.sandbox()
    bundleless, homeless = await node.start("sleep", "100"), await node.start("sleep", "100")
    pids = [int((node.root / "containers" / name / "pidfile").read_text()) for name in (bundleless, homeless)]
    await node.runtime.close()
    await asyncio.to_thread(rootfs.discard, node.root / "containers" / bundleless)
    (node.root / "run/sandboxes/u1/sandbox.json").write_text('{"spec": 5}')
    node.runtime = node.another()
    await node.runtime.open()
    assert [record.spec.id for record in node.runtime.records()] == [homeless]
    assert (await node.ended(homeless)).code == 137
    await node.runtime.remove(homeless)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    await node.sandbox()
    assert await node.output("hostname") == "web-0"


async def test_twenty_at_once(node: Node) -> None:
    await asyncio.gather(*(node.sandbox(f"u{n}") for n in range(20)))
    specs = [node.spec("sleep", "100", uid=f"u{n}") for n in range(20)]
    await asyncio.gather(*(node.runtime.create(spec) for spec in specs))
    await asyncio.gather(*(node.runtime.start(spec.id) for spec in specs))
    await asyncio.gather(*(node.runtime.remove_sandbox(f"u{n}") for n in range(20)))
    assert sorted(exits[0].code for exits in node.exits.values()) == [137] * 20
    in_memory = {str(node.root / "run" / name) for name in ("exec", "sandboxes", "crun", "runc")}
    assert set(leftovers(node.root)) <= {str(node.root), *in_memory}


CRASHER = """
import asyncio, os, signal, sys
from sampan.kubelet.runtime.contract import ContainerSpec, SandboxSpec
from sampan.kubelet.runtime import conmon
from sampan.kubelet.runtime.crun import CrunRuntime
from pathlib import Path

async def main(root, layer, cgroup):
    runtime = CrunRuntime(Path(root))
    await runtime.open()
    await runtime.start_sandbox(SandboxSpec("u1", "d", "n", hostname="h", cgroup=cgroup + "/podu1"))
    def spec(name, *argv):
        return ContainerSpec(name, "u1", name, 0, (layer,), argv, {}, "/", "", (), root + f"/logs/{name}.log",
                             f"{cgroup}/podu1/{name}")
    told = "trap 'exit 42' TERM; while :; do sleep 0.1; done"
    for name, *argv in (("stays", "sleep", "100"), ("ends", "sh", "-c", told),
                        ("conmonless", "sleep", "100")):
        await runtime.create(spec(name, *argv))
        await runtime.start(name)
    # A container that exists while nothing on disk says so yet.
    real = conmon.create
    async def die(*args):
        await real(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    conmon.create = die
    await runtime.create(spec("half", "sleep", "100"))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_after_kill_9_everything_is_taken_over(node: Node) -> None:
    await node.runtime.close()
    crash = [sys.executable, "-c", CRASHER, str(node.root), str(node.layer), CGROUP]
    done = await asyncio.to_thread(subprocess.run, crash, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    os.kill(int((node.root / "containers" / "conmonless" / "conmon.pid").read_text()), signal.SIGKILL)
    # Meanwhile one ends, with nobody to hear of it.
    await killed(int((node.root / "containers" / "ends" / "pidfile").read_text()), signal.SIGTERM)
    node.runtime = node.another()
    await node.runtime.open()
    records = {record.spec.id: record for record in node.runtime.records()}
    assert sorted(records) == ["conmonless", "ends", "stays"]
    assert records["stays"].exit is None
    assert (await node.ended("ends")).code == 42
    assert await node.ask("stays", "hostname") == "h"
    node.runtime.signal("stays", signal.SIGKILL)
    assert (await node.ended("stays")).code == 137
    assert (await node.ended("conmonless")).code == 137  # this process inherited it
    assert [len(exits) for exits in node.exits.values()] == [1, 1, 1]
    assert "half" not in " ".join(leftovers(node.root))


async def test_after_a_crash_purge_leaves_nothing(node: Node) -> None:
    await node.runtime.close()
    crash = [sys.executable, "-c", CRASHER, str(node.root), str(node.layer), CGROUP]
    await asyncio.to_thread(subprocess.run, crash, capture_output=True, text=True)
    (node.root / "containers" / "stays" / "container.json").write_text("torn {")
    (node.root / "run" / "sandboxes" / "u1" / "sandbox.json").unlink()
    await purge(node.root, CGROUP)
    assert leftovers(node.root) == []
    assert [path.name for path in node.root.iterdir()] == ["logs", "run"]


async def test_a_sandbox_lost_in_a_reboot_is_made_again(node: Node) -> None:
    await node.sandbox()
    container_id = await node.start("sleep", "100")
    await node.runtime.close()
    # What a reboot does: no process, no mount.
    for name in ("conmon.pid", "pidfile"):
        pid = int((node.root / "containers" / container_id / name).read_text())
        await killed(pid)
    mounts.detach_below(node.root)
    node.runtime = node.another()
    await node.runtime.open()
    assert list(node.runtime.sandboxes()) == []
    assert (await node.ended(container_id)).code == 137
    await node.sandbox()
    assert len(node.runtime.sandboxes()) == 1
    assert await node.output("hostname") == "web-0"
    await node.runtime.remove(container_id)


async def test_what_no_reboot_outlives_lies_in_memory(node: Node) -> None:
    await node.sandbox()
    container_id = await node.start("sleep", "100")
    kinds = {point.target: point.kind for point in mounts.table()}
    for name in ("sandboxes", "crun"):
        assert kinds[str(node.root / "run" / name)] == "tmpfs"
    await node.runtime.close()
    node.runtime = node.another()
    await node.runtime.open()
    assert len([point for point in mounts.table() if point.target == str(node.root / "run/crun")]) == 1
    assert len(node.runtime.sandboxes()) == 1
    node.runtime.signal(container_id, signal.SIGKILL)
    assert (await node.ended(container_id)).code == 137


async def test_what_an_earlier_version_left_on_the_disk_stays_in_sight(node: Node) -> None:
    await node.runtime.close()
    mounts.detach_below(node.root)
    of_old = node.root / "run" / "crun" / "of-old"
    of_old.mkdir()
    node.runtime = node.another()
    await node.runtime.open()
    assert not of_old.exists()  # seen, and ended as one of which nothing else is known
    assert not any(point.target == str(node.root / "run/crun") for point in mounts.table())


async def test_runc_holds_the_containers_that_ask_for_it(node: Node) -> None:
    if "runc" not in node.runtime.features.handlers:
        pytest.skip("runc is not installed")
    await node.sandbox()
    container_id = await node.start("sh", "-c", "trap 'exit 7' TERM; sleep 100 & wait", handler="runc")
    assert (node.root / "run" / "runc" / container_id / "state.json").exists()
    assert await node.ask(container_id, "hostname; grep Seccomp: /proc/self/status") == "web-0\nSeccomp:\t2"
    with pytest.raises(RuntimeFault, match="runc cannot give a command a terminal here"):
        await node.runtime.exec(container_id, ["sh"], tty=True)
    with pytest.raises(RuntimeFault, match='"/nothing": stat /nothing: no such file'):
        await node.start("/nothing", handler="runc")
    await node.runtime.close()
    node.runtime = node.another()
    await node.runtime.open()
    assert await node.ask(container_id, "hostname") == "web-0"
    node.runtime.signal(container_id, signal.SIGTERM)
    assert (await node.ended(container_id)).code == 7
    await node.runtime.remove(container_id)


async def test_a_runtime_that_is_not_there_is_refused_by_name(node: Node) -> None:
    await node.sandbox()
    with pytest.raises(RuntimeFault, match='no runtime for "gvisor" on this node: it has crun'):
        await node.runtime.create(node.spec("true", handler="gvisor"))
    assert node.runtime.records() == []


async def test_containers_of_one_node_share_one_mount_namespace_across_restarts(node: Node) -> None:
    if not node.runtime.host.layout.hybrid_leftover:
        pytest.skip("nothing needs to be hidden here")

    def namespaces() -> set[str]:
        keepers = [state.conmon.pid for c in node.runtime._containers if (state := c.state).conmon]
        return {str(Path(f"/proc/{pid}/ns/mnt").readlink()) for pid in keepers}

    await node.sandbox()
    await node.start("sleep", "100")
    await node.start("sleep", "100")
    first = namespaces()
    await node.runtime.close()
    node.runtime = node.another()
    await node.runtime.open()
    await node.start("sleep", "100")
    assert namespaces() == first and len(first) == 1
    assert first != {str(Path("/proc/self/ns/mnt").readlink())}


async def test_the_root_of_a_pod_with_its_own_users_is_nobody_on_the_node(node: Node) -> None:
    volume = node.root / "volume"
    volume.mkdir()
    (volume / "old").write_text("from the node")
    await node.sandbox(user_namespace=True)
    (sandbox,) = node.runtime.sandboxes()
    may = Security(add_capabilities=("SYS_ADMIN",))
    container_id = await node.start("sleep", "100", mounts=(Mount(str(volume), "/v"),), security=may)
    (record,) = node.runtime.records()
    assert Path(f"/proc/{record.pid}").stat().st_uid == sandbox.first_id >= 65536
    map_ = await node.ask(container_id, "cat /proc/self/uid_map")
    assert map_.split() == ["0", str(sandbox.first_id), "65536"]
    assert await node.ask(container_id, "hostname other; hostname; stat -c %u /v/old /bin") == "other\n0\n0"
    await node.ask(container_id, "echo x > /v/new; chown 7 /v/new; echo x > /dev/shm/x; touch /bin/new")
    assert (volume / "new").stat().st_uid == 7
    user = Security(uid=1000, gid=1000)
    said = await node.output("id -u; echo out > /dev/stdout; echo err > /dev/stderr", security=user)
    assert said.split() == ["1000", "out", "err"]
    assert await node.ask(container_id, "echo again > /dev/stdout") == "again"


async def test_pods_with_their_own_users_share_none_also_after_a_restart(node: Node) -> None:
    await node.sandbox("u1", user_namespace=True)
    await node.sandbox("u2", user_namespace=True, share_pid=True)
    before = {sandbox.uid: sandbox.first_id for sandbox in node.runtime.sandboxes()}
    assert len(set(before.values())) == 2
    await node.runtime.close()
    node.runtime = node.another()
    await node.runtime.open()
    assert {sandbox.uid: sandbox.first_id for sandbox in node.runtime.sandboxes()} == before
    assert await node.output("id -u; cat /proc/1/comm", uid="u2") == "0\ncatatonit"
    await node.runtime.remove_sandbox("u1")
    await node.sandbox("u3", user_namespace=True)
    assert len({sandbox.first_id for sandbox in node.runtime.sandboxes()}) == 2


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"handler": "strange"}, 'failed to get sandbox runtime: no runtime for "strange" is configured'),
        (
            {"handler": "runc", "user_namespace": True},
            "can't set `spec.hostUsers: false`, "
            'RuntimeClass handler "runc" does not support user namespaces',
        ),
    ],
)
async def test_what_no_handler_here_can_do(node: Node, asked: dict[str, Any], text: str) -> None:
    if asked["handler"] == "runc" and "runc" not in node.runtime.features.handlers:
        pytest.skip("runc is not installed")
    with pytest.raises(RuntimeFault) as caught:
        await node.sandbox(**asked)
    assert (caught.value.reason, caught.value.message) == ("FailedCreatePodSandBox", text)


async def test_what_this_node_cannot_grant_is_noted(node: Node) -> None:
    await node.sandbox()
    lacking = sorted(set(capabilities.NAMES) - capabilities.bounding_set())
    asked = Security(add_capabilities=lacking)
    container_id = await node.start("sleep", "100", security=asked)
    (record,) = node.runtime.records()
    noted = [f"runs without {', '.join(lacking)}: this node cannot grant it"] if lacking else []
    assert list(record.gaps) == noted
    assert record.user == ProcessUser(0, 0, (0,))
    await node.runtime.remove(container_id)
    with pytest.raises(RuntimeFault, match="unknown capability: FLY"):
        await node.runtime.create(node.spec("true", security=Security(drop_capabilities=("FLY",))))
