"""A runtime without Linux: containers are coroutines. Keeps runtime/contract.py, under the same tests.

A container's command is looked up in `programs` by the last path component of argv[0]; what is not there runs
until it is signalled, as a server would. Programs are `async (Process) -> exit code`:

    async def crash(process: Process) -> int:
        process.write("no configuration\\n")
        return 1

    runtime = FakeRuntime(programs={"crash": crash})
    runtime.fail("create", RuntimeFault("CreateContainerError", "no such device"))   # the next create fails
    runtime.finish(container_id, 137, oom=True)                                       # it ends now, like this

`actions` lists what was asked, in order: (verb, id). `close` and a later `open` are a restart: ends in
between are found by `open`.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from sampan.kubelet.runtime import pipes
from sampan.kubelet.runtime.contract import (
    ContainerSpec,
    ExecProcess,
    Exit,
    Features,
    Record,
    Resources,
    RuntimeFault,
    Sandbox,
    SandboxSpec,
    Stats,
)
from sampan.kubelet.runtime.programs import PROGRAMS, Program, serve
from sampan.kubelet.runtime.programs import Process as Process


class _Pipe(pipes.Outlet):
    """The writing end whose reading end is a StreamReader in the same loop."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._reader, self._closed = reader, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closed:
            self._reader.feed_data(bytes(data))

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._reader.feed_eof()
            self.lost()


class FakeExec:
    """A command beside the container's own; keeps contract.ExecProcess."""

    def __init__(self, process: Process, task: asyncio.Task[int], streams: _Streams, stdin: bool) -> None:
        self.stdin: asyncio.StreamWriter | None = None
        if stdin:
            self.stdin = _Pipe(process.stdin).stream
        else:
            process.stdin.feed_eof()
        self.stdout, self.stderr = streams.stdout, streams.stderr
        self._process, self._task = process, task

    @property
    def started(self) -> bool:
        return self._process.started

    def resize(self, columns: int, rows: int) -> None:
        self._process.size = (columns, rows)

    async def wait(self) -> int:
        return await asyncio.shield(self._task)

    async def kill(self) -> None:
        self._process.killed.set()
        await self.wait()


class _Streams:
    """Where a command's output goes: stdout and stderr, or both into the pty."""

    def __init__(self, tty: bool) -> None:
        self.stdout = asyncio.StreamReader()
        self.stderr = None if tty else asyncio.StreamReader()

    def feed(self, data: bytes, error: bool) -> None:
        (self.stderr if error and self.stderr is not None else self.stdout).feed_data(data)

    def end(self) -> None:
        self.stdout.feed_eof()
        if self.stderr is not None:
            self.stderr.feed_eof()


@dataclass(slots=True)
class _Container:
    record: Record
    process: Process
    task: asyncio.Task[None] | None = None
    attached: list[_Streams] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class FakeRuntime:
    """Keeps contract.Runtime."""

    def __init__(self, programs: Mapping[str, Program] | None = None) -> None:
        self.programs: dict[str, Program] = {**PROGRAMS, **(programs or {})}
        self.actions: list[tuple[str, str]] = []
        self.resources: dict[str, Resources] = {}
        """Last told, by container ID, Pod UID or path of a tier."""
        self.usage: dict[str, Stats] = {}
        """What tests say is used, by the same names."""
        self.reopened_logs: list[str] = []
        self.can = Features()
        self.on_exit: Callable[[str, Exit], None] = lambda container_id, exit: None
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._faults: dict[str, list[RuntimeFault]] = {}
        self._unreported: list[str] = []
        self._open = False
        self._pids = iter(range(1000, 1 << 22))

    # -- what tests do to it

    def fail(self, verb: str, fault: RuntimeFault) -> None:
        """The next call of `verb` (create, start, start_sandbox, exec, ...) raises this."""
        self._faults.setdefault(verb, []).append(fault)

    def finish(self, container_id: str, code: int, *, oom: bool = False) -> None:
        """The container ends now."""
        container = self._containers[container_id]
        if container.record.exit is None:
            self._end(container, Exit(code, time.time(), oom=oom))

    # -- the contract

    async def open(self) -> None:
        self._open = True
        loop = asyncio.get_running_loop()
        for container_id in self._unreported:
            if (exit := self._containers[container_id].record.exit) is not None:
                loop.call_soon(self.on_exit, container_id, exit)
        self._unreported.clear()

    async def close(self) -> None:
        self._open = False

    @property
    def features(self) -> Features:
        return self.can

    def sandboxes(self) -> Sequence[Sandbox]:
        return list(self._sandboxes.values())

    def records(self) -> Sequence[Record]:
        return [container.record for container in self._containers.values()]

    async def start_sandbox(self, spec: SandboxSpec) -> Sandbox:
        self._asked("start_sandbox", spec.uid)
        base = f"/run/fake/{spec.uid}"
        sandbox = Sandbox(
            spec.uid,
            net="" if spec.host_network else f"{base}/net",
            ipc="" if spec.host_ipc else f"{base}/ipc",
            uts="" if spec.host_network else f"{base}/uts",
        )
        return self._sandboxes.setdefault(spec.uid, sandbox)

    async def remove_sandbox(self, uid: str) -> None:
        self._asked("remove_sandbox", uid)
        for container_id, container in list(self._containers.items()):
            if container.record.spec.sandbox == uid:
                self._discard(container_id, container)
        self._sandboxes.pop(uid, None)

    async def create(self, spec: ContainerSpec) -> None:
        self._asked("create", spec.id)
        if spec.sandbox not in self._sandboxes:
            raise RuntimeFault("CreateContainerError", f"sandbox {spec.sandbox} does not exist")
        if spec.id in self._containers:
            return
        process = Process(spec, spec.argv, lambda data, error: self._output(spec, data, error))
        if not spec.stdin:
            process.stdin.feed_eof()
        record = Record(spec, next(self._pids), time.time(), 0.0, None)
        self._containers[spec.id] = _Container(record, process)

    async def start(self, container_id: str) -> Record:
        self._asked("start", container_id)
        container = self._get(container_id, "RunContainerError")
        if container.task is None and container.record.exit is None:
            container.record = replace(container.record, started_at_s=time.time())
            container.task = asyncio.create_task(self._run(container))
        return container.record

    def signal(self, container_id: str, signal_number: int) -> None:
        self.actions.append((signal.Signals(signal_number).name, container_id))
        container = self._containers.get(container_id)
        if container is None or container.record.exit is not None:
            return
        if signal_number == signal.SIGKILL or signal_number not in container.process.ignored:
            self._end(container, Exit(128 + signal_number, time.time()))

    async def remove(self, container_id: str) -> None:
        self._asked("remove", container_id)
        if (container := self._containers.get(container_id)) is not None:
            self._discard(container_id, container)

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> ExecProcess:
        self._asked("exec", container_id)
        container = self._get(container_id, "ExecError")
        if container.task is None or container.record.exit is not None:
            raise RuntimeFault("ExecError", f"container {container_id} is not running")
        streams = _Streams(tty)
        process = Process(container.record.spec, argv, streams.feed)
        task = asyncio.create_task(self._command(container, process, streams))
        return FakeExec(process, task, streams, stdin)

    async def attach(self, container_id: str) -> ExecProcess:
        self._asked("attach", container_id)
        container = self._get(container_id, "AttachError")
        spec = container.record.spec
        streams = _Streams(spec.tty)
        container.attached.append(streams)
        if container.record.exit is not None:
            streams.end()
        return FakeExec(container.process, asyncio.create_task(self._code(container)), streams, spec.stdin)

    def reopen_log(self, container_id: str) -> None:
        self.reopened_logs.append(container_id)

    async def set_resources(self, container_id: str, resources: Resources) -> None:
        self._asked("set_resources", container_id)
        self.resources[container_id] = resources
        if (container := self._containers.get(container_id)) is not None:
            spec = replace(container.record.spec, resources=resources)
            container.record = replace(container.record, spec=spec)

    async def set_sandbox_resources(self, uid: str, resources: Resources) -> None:
        self._asked("set_sandbox_resources", uid)
        self.resources[uid] = resources

    async def set_tier(self, path: str, resources: Resources) -> None:
        self.resources[path] = resources

    def stats(self, container_id: str) -> Stats:
        self._get(container_id, "StatsError")
        return self.tier_stats(container_id)

    def sandbox_stats(self, uid: str) -> Stats:
        if uid not in self._sandboxes:
            raise RuntimeFault("StatsError", f"sandbox {uid} does not exist")
        return self.tier_stats(uid)

    def tier_stats(self, path: str) -> Stats:
        return self.usage.get(path, Stats(0, 0, 0, 0))

    # -- inside

    def _asked(self, verb: str, identity: str) -> None:
        self.actions.append((verb, identity))
        if faults := self._faults.get(verb):
            raise faults.pop(0)

    def _get(self, container_id: str, reason: str) -> _Container:
        if (container := self._containers.get(container_id)) is None:
            raise RuntimeFault(reason, f"container {container_id} does not exist")
        return container

    def _program(self, argv: Sequence[str]) -> Program:
        return self.programs.get(PurePosixPath(argv[0]).name if argv else "", serve)

    async def _run(self, container: _Container) -> None:
        code = await self._program(container.process.argv)(container.process)
        container.task = None
        self._end(container, Exit(code, time.time()))

    async def _command(self, container: _Container, process: Process, streams: _Streams) -> int:
        """The program, or 137 when it was killed or its container ended first."""
        program = asyncio.ensure_future(self._program(process.argv)(process))
        ends = [asyncio.ensure_future(event.wait()) for event in (container.ended, process.killed)]
        try:
            await asyncio.wait({program, *ends}, return_when=asyncio.FIRST_COMPLETED)
            return program.result() if program.done() else 137
        except FileNotFoundError as error:
            process.started = False
            process.write(str(error))
            return 126
        finally:
            for task in (program, *ends):
                task.cancel()
            streams.end()

    async def _code(self, container: _Container) -> int:
        await container.ended.wait()
        return container.record.exit.code if container.record.exit else 255

    def _end(self, container: _Container, exit: Exit) -> None:
        if container.task is not None:
            container.task.cancel()
        container.record = replace(container.record, exit=exit)
        container.ended.set()
        for streams in container.attached:
            streams.end()
        container_id = container.record.spec.id
        if self._open:
            asyncio.get_running_loop().call_soon(self.on_exit, container_id, exit)
        else:
            self._unreported.append(container_id)

    def _discard(self, container_id: str, container: _Container) -> None:
        if container.record.exit is None:
            self._end(container, Exit(137, time.time()))
        del self._containers[container_id]
        if container_id in self._unreported:
            self._unreported.remove(container_id)

    def _output(self, spec: ContainerSpec, data: bytes, error: bool) -> None:
        for streams in self._containers[spec.id].attached:
            streams.feed(data, error)
        if spec.log_path:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000+00:00")
            lines = data.decode(errors="replace").splitlines()
            with Path(spec.log_path).open("a") as log:
                log.writelines(f"{stamp} {'stderr' if error else 'stdout'} F {line}\n" for line in lines)
