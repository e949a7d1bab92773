"""What runtime/contract.py promises, asked of the real runtime and of the fake."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sampan.kubelet.runtime.contract import ContainerSpec, Exit, Runtime, RuntimeFault, SandboxSpec
from sampan.kubelet.runtime.crun import CrunRuntime
from sampan.kubelet.runtime.fake import FakeRuntime, Process
from sampan.kubelet.runtime.purge import purge

UID = "0ba7e5d2-pod"

OnExit = Callable[[str, Exit], None]
Reopen = Callable[[OnExit], Awaitable[Runtime]]


def _nobody(container_id: str, exit: Exit) -> None:
    """Listens before the first test does."""


async def _shell(process: Process) -> int:
    """The few scripts of this suite."""
    match process.argv[2]:
        case "exit 3":
            return 3
        case "echo out; echo err >&2; exit 7":
            process.write("out\n")
            process.write("err\n", error=True)
            return 7
        case "echo hello; exit 5":
            process.write("hello\n")
            return 5
        case "stty size":
            process.write(f"{process.size[1]} {process.size[0]}\r\n")
            return 0
        case "read line; stty size":
            await process.stdin.readline()
            process.write(f"{process.size[1]} {process.size[0]}\r\n")
            return 0
    raise AssertionError(process.argv)


class Bench:
    """A runtime under test, and what it told."""

    def __init__(self, runtime: Runtime, reopen: Reopen, logs: Path, layer: str) -> None:
        self.runtime, self._reopen, self.logs, self._layer = runtime, reopen, logs, layer
        self.exits: dict[str, list[Exit]] = {}
        self._told = asyncio.Event()
        runtime.on_exit = self.on_exit

    def on_exit(self, container_id: str, exit: Exit) -> None:
        self.exits.setdefault(container_id, []).append(exit)
        self._told.set()

    async def restart(self) -> None:
        await self.runtime.close()
        self.runtime = await self._reopen(self.on_exit)

    def spec(self, container_id: str, *argv: str, **changes: Any) -> ContainerSpec:
        values: dict[str, Any] = {
            "id": container_id,
            "sandbox": UID,
            "name": "main",
            "attempt": 0,
            "lower_dirs": (self._layer,),
            "argv": argv,
            "env": {"GREETING": "hello"},
            "cwd": "/",
            "user": "",
            "mounts": (),
            "log_path": str(self.logs / f"{container_id}.log"),
            "cgroup": f"/sampan-test/pod{UID}/{container_id}",
            "labels": {"a": "b"},
        }
        return ContainerSpec(**values | changes)

    async def sandbox(self) -> None:
        await self.runtime.start_sandbox(
            SandboxSpec(UID, "default", "web", hostname="web-0", cgroup=f"/sampan-test/pod{UID}")
        )

    async def run(self, container_id: str, *argv: str, **changes: Any) -> None:
        await self.runtime.create(self.spec(container_id, *argv, **changes))
        await self.runtime.start(container_id)

    async def ended(self, container_id: str) -> Exit:
        async with asyncio.timeout(30):
            while container_id not in self.exits:
                self._told.clear()
                await self._told.wait()
        return self.exits[container_id][0]


@pytest.fixture(params=["fake", pytest.param("crun", marks=pytest.mark.root)])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        root = Path(directory)
        (root / "logs").mkdir()
        if request.param == "fake":
            fake = FakeRuntime({"sh": _shell})

            async def reopen(on_exit: OnExit) -> Runtime:
                await asyncio.sleep(0.1)
                await fake.open()
                return fake

            await fake.open()
            made = Bench(fake, reopen, root / "logs", "/")
            await made.sandbox()
            yield made
            return

        async def again(on_exit: OnExit) -> Runtime:
            await asyncio.sleep(0.1)
            runtime = CrunRuntime(root / "data")
            runtime.on_exit = on_exit
            await runtime.open()
            return runtime

        (root / "data").mkdir()
        layer = request.getfixturevalue("busybox_layer")
        made = Bench(await again(_nobody), again, root / "logs", str(layer))
        await made.sandbox()
        yield made
        await made.runtime.close()
        await purge(root / "data")


async def test_an_end_is_told_once_with_its_code(bench: Bench) -> None:
    await bench.run("c1", "sh", "-c", "exit 3")
    assert (await bench.ended("c1")).code == 3
    await bench.runtime.remove("c1")
    assert [exit.code for exit in bench.exits["c1"]] == [3]


async def test_a_signalled_container_ends_with_128_and_the_signal(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    bench.runtime.signal("c1", signal.SIGKILL)
    exit = await bench.ended("c1")
    assert (exit.code, exit.oom, exit.unknown) == (137, False, False)
    bench.runtime.signal("c1", signal.SIGTERM)


async def test_records_tell_the_life_of_a_container(bench: Bench) -> None:
    spec = bench.spec("c1", "sleep", "100")
    await bench.runtime.create(spec)
    (record,) = bench.runtime.records()
    assert record.spec == spec
    assert record.pid > 0
    assert record.created_at_s > 0
    assert (record.started_at_s, record.exit) == (0.0, None)
    assert (await bench.runtime.start("c1")).started_at_s >= record.created_at_s
    bench.runtime.signal("c1", signal.SIGKILL)
    exit = await bench.ended("c1")
    assert bench.runtime.records()[0].exit == exit
    await bench.runtime.remove("c1")
    assert list(bench.runtime.records()) == []


async def test_repeated_calls_do_no_harm(bench: Bench) -> None:
    await bench.sandbox()
    assert len(bench.runtime.sandboxes()) == 1
    spec = bench.spec("c1", "sleep", "100")
    await asyncio.gather(bench.runtime.create(spec), bench.runtime.create(spec))
    first = await bench.runtime.start("c1")
    assert await bench.runtime.start("c1") == first
    await asyncio.gather(bench.runtime.remove("c1"), bench.runtime.remove("c1"))
    await bench.runtime.remove("c1")
    await bench.runtime.remove_sandbox(UID)
    await bench.runtime.remove_sandbox(UID)
    bench.runtime.signal("c1", signal.SIGTERM)


async def test_removing_a_running_container_kills_it_and_says_so(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    await bench.runtime.remove("c1")
    assert (await bench.ended("c1")).code == 137


async def test_a_sandbox_takes_its_containers_along(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    await bench.run("c2", "sleep", "100")
    await bench.runtime.remove_sandbox(UID)
    assert list(bench.runtime.records()) == []
    assert list(bench.runtime.sandboxes()) == []


async def test_no_container_without_its_sandbox(bench: Bench) -> None:
    with pytest.raises(RuntimeFault, match="sandbox nowhere does not exist"):
        await bench.runtime.create(bench.spec("c1", "true", sandbox="nowhere"))


async def test_the_log_is_in_cri_form(bench: Bench) -> None:
    await bench.run("c1", "sh", "-c", "echo out; echo err >&2; exit 7")
    await bench.ended("c1")
    rows = [line.split(" ", 3) for line in (bench.logs / "c1.log").read_text().splitlines()]
    assert sorted(row[1:] for row in rows) == [["stderr", "F", "err"], ["stdout", "F", "out"]]


async def test_running_containers_survive_a_restart(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    before = bench.runtime.records()
    await bench.restart()
    assert bench.runtime.records() == before
    assert len(bench.runtime.sandboxes()) == 1
    bench.runtime.signal("c1", signal.SIGKILL)
    assert (await bench.ended("c1")).code == 137


async def test_an_end_that_nobody_saw_is_found_and_told_once(bench: Bench) -> None:
    await bench.run("c1", "sleep", "0.05")
    await bench.restart()
    assert (await bench.ended("c1")).code == 0
    await bench.restart()
    await asyncio.sleep(0.05)
    assert len(bench.exits["c1"]) == 1
    assert bench.runtime.records()[0].exit == bench.exits["c1"][0]


async def _exec(bench: Bench, *argv: str, **how: bool) -> tuple[bytes, bytes, int]:
    process = await bench.runtime.exec("c1", argv, **how)
    async with asyncio.timeout(30):
        out = await process.stdout.read()
        err = await process.stderr.read() if process.stderr else b""
        return out, err, await process.wait()


async def test_exec_gives_streams_and_code(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    script: Sequence[str] = ("sh", "-c", "echo out; echo err >&2; exit 7")
    assert await _exec(bench, *script) == (b"out\n", b"err\n", 7)


async def test_closing_stdin_is_the_end_of_the_commands_input(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    process = await bench.runtime.exec("c1", ["cat"], stdin=True)
    assert process.stdin is not None
    sent = b"0123456789abcdef" * 16384

    async def feed() -> None:
        assert process.stdin is not None
        process.stdin.write(sent)
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()

    async with asyncio.timeout(30):
        _, received, code = await asyncio.gather(feed(), process.stdout.read(), process.wait())
    assert (received == sent, code) == (True, 0)


async def test_exec_on_a_terminal_has_one_stream_and_a_size(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    process = await bench.runtime.exec("c1", ["sh", "-c", "read line; stty size"], stdin=True, tty=True)
    assert process.stderr is None
    assert process.stdin is not None
    process.resize(120, 33)
    process.stdin.write(b"go\n")
    async with asyncio.timeout(30):
        out = await process.stdout.read()
        assert await process.wait() == 0
    assert out.endswith(b"33 120\r\n")


async def test_killing_an_exec_ends_the_command(bench: Bench) -> None:
    await bench.run("c1", "sleep", "100")
    process = await bench.runtime.exec("c1", ["sleep", "99"])
    async with asyncio.timeout(30):
        await process.kill()
        assert await process.wait() == 137
    assert bench.runtime.records()[0].exit is None


async def test_exec_needs_a_running_container(bench: Bench) -> None:
    with pytest.raises(RuntimeFault):
        await bench.runtime.exec("nowhere", ["true"])
    await bench.run("c1", "true")
    await bench.ended("c1")
    with pytest.raises(RuntimeFault, match="not running"):
        await bench.runtime.exec("c1", ["true"])


async def test_an_attached_client_misses_nothing_from_the_start(bench: Bench) -> None:
    await bench.runtime.create(bench.spec("c1", "sh", "-c", "echo hello; exit 5"))
    process = await bench.runtime.attach("c1")
    await bench.runtime.start("c1")
    async with asyncio.timeout(30):
        assert await process.stdout.read() == b"hello\n"
        assert await process.wait() == 5
    assert process.stdin is None


async def test_an_attached_client_feeds_stdin(bench: Bench) -> None:
    await bench.runtime.create(bench.spec("c1", "cat", stdin=True, stdin_once=True))
    process = await bench.runtime.attach("c1")
    await bench.runtime.start("c1")
    assert process.stdin is not None
    process.stdin.write(b"ping\n")
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"ping\n"
        process.stdin.close()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0
