"""Logs, exec, attach and port-forward of this node's containers. Keeps api.streams.NodeStreams."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from sampan.api.errors import bad_request, internal
from sampan.api.objects import Obj, name_of, uid_of
from sampan.api.podspec import all_containers, container_status
from sampan.api.streams import ExecOptions, LogOptions, Page, Terminal
from sampan.kubelet import crilog, logs
from sampan.kubelet.containerspec import PodPlace
from sampan.kubelet.logwatch import LogWatch
from sampan.kubelet.network.contract import Namespace, NetworkFault
from sampan.kubelet.nodepages import NodePages
from sampan.kubelet.plan import restarts
from sampan.kubelet.runtime.contract import ExecProcess, Runtime, RuntimeFault
from sampan.kubelet.worker import Worker

CHUNK_BYTES = 32 * 1024


class Streams:
    """`workers`: Pods of this node by uid; `namespace_at` opens sockets in the namespace at a path."""

    def __init__(
        self,
        runtime: Runtime,
        workers: Callable[[str], Worker | None],
        pods: Path,
        netns: Namespace,
        namespace_at: Callable[[str], Namespace],
    ) -> None:
        self._runtime, self._workers, self._pods = runtime, workers, pods
        self._netns, self._namespace_at = netns, namespace_at
        self._pages = NodePages(self._present, pods)
        self._log_watch = LogWatch()

    async def logs(self, pod: Obj, options: LogOptions) -> AsyncIterator[bytes]:
        name = _container_name(pod, options.container)
        attempt = self._attempt(pod, name, options.previous)
        path = PodPlace(self._pods / uid_of(pod)).log(name, attempt)
        printer = crilog.Printer(
            crilog.STREAMS.get(options.stream, crilog.STREAMS["All"]),
            _since(options),
            options.timestamps,
            options.limit_bytes,
        )
        if not options.follow:
            return logs.read(path, printer, options.tail_lines)
        return self._follow(pod, name, attempt, path, printer, options.tail_lines)

    async def exec(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> int:
        container_id = self._running(pod, options.container)
        try:
            process = await self._runtime.exec(
                container_id, list(options.command), stdin=options.stdin, tty=options.tty
            )
        except RuntimeFault as fault:
            raise internal(f"error executing command in container: {fault.message}") from fault
        try:
            return await _converse(process, options, terminal)
        except asyncio.CancelledError:
            await process.kill()
            raise

    async def attach(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> None:
        container_id = self._running(pod, options.container)
        try:
            process = await self._runtime.attach(container_id)
        except RuntimeFault as fault:
            raise internal(f"error attaching to container: {fault.message}") from fault
        await _converse(process, options, terminal)

    async def port_forward(self, pod: Obj, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        worker = self._workers(uid_of(pod))
        sandbox = worker.view.sandbox if worker else None
        if sandbox is None:
            raise bad_request(f"unable to forward port because pod is not running. {_phase(pod)}")
        netns = self._namespace_at(sandbox.net) if sandbox.net else self._netns
        where = f'network namespace "{sandbox.net or netns.path}"'
        failed = (
            f"error forwarding port {port} to pod {uid_of(pod)}, uid : "
            f"failed to execute portforward in {where}: failed to connect to localhost:{port} inside {where}"
        )
        causes = []
        for family, address in ((4, "127.0.0.1"), (6, "::1")):
            try:
                return await _connect(netns, family, address, port)
            except NetworkFault as fault:
                raise internal(f"{failed}: {fault}") from fault
            except OSError as error:
                text = os.strerror(error.errno).lower() if error.errno else str(error)
                causes.append(f"IPv{family}: dial tcp{family} {_shown(address)}:{port}: connect: {text}")
        raise internal(f"{failed}, {' '.join(causes)}")

    async def page(self, path: str) -> Page | None:
        return await self._pages.page(path)

    def _present(self) -> list[Obj]:
        """The Pods that have a directory here."""
        found = (self._workers(path.name) for path in self._pods.glob("*"))
        return [worker.view.pod for worker in found if worker is not None]

    async def _follow(
        self, pod: Obj, name: str, attempt: int, path: Path, printer: crilog.Printer, tail_lines: int | None
    ) -> AsyncIterator[bytes]:
        worker = self._workers(uid_of(pod))

        def is_over() -> bool:
            container = worker.view.container(name) if worker else None
            if container is None or container.attempt != attempt:
                return True
            return container.exit is not None

        path.parent.mkdir(parents=True, exist_ok=True)
        changes = self._log_watch.follow(path)
        forget = worker.on_change(changes.touch) if worker else None
        try:
            async for chunk in logs.follow(path, printer, tail_lines, changes, is_over):
                yield chunk
        finally:
            if forget is not None:
                forget()
            changes.close()

    def _attempt(self, pod: Obj, name: str, previous: bool) -> int:
        """Which attempt's log is asked for; raises StatusError if there is none."""
        worker = self._workers(uid_of(pod))
        container = worker.view.container(name) if worker else None
        if container is None or (worker is not None and worker.view.finished):
            return _reported_attempt(pod, name, previous)
        if previous:
            # While it waits for its next attempt, the one that ended is the previous one already.
            if worker is not None and container.record is not None and restarts(worker.view, container):
                return container.record.spec.attempt
            if container.last is not None:
                return container.last.spec.attempt
            raise _no_previous(pod, name)
        if container.record is not None:
            return container.record.spec.attempt
        if container.last is not None:
            return container.last.spec.attempt
        status = container_status(pod, name) or {}
        raise _waiting(pod, name, status)

    def _running(self, pod: Obj, name: str) -> str:
        """The ID of a running container; raises StatusError."""
        name = _container_name(pod, name)
        worker = self._workers(uid_of(pod))
        container = worker.view.container(name) if worker else None
        record = container.record if container else None
        if record is None or record.exit is not None:
            raise internal(f'unable to upgrade connection: container not found ("{name}")')
        return record.spec.id


def _container_name(pod: Obj, asked: str) -> str:
    names = [container["name"] for _, _, container in all_containers(pod["spec"])]
    if not asked:
        main = [container["name"] for container in pod["spec"]["containers"]]
        if len(main) == 1:
            return str(main[0])
        listed = ", ".join(main)
        text = f"a container name must be specified for pod {name_of(pod)}, choose one of: [{listed}]"
        raise bad_request(text)
    if asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {name_of(pod)}")
    return asked


def _reported_attempt(pod: Obj, name: str, previous: bool) -> int:
    """From the API's status: for Pods that ended before this process began."""
    status = container_status(pod, name)
    if status is None or not status.get("containerID"):
        raise _waiting(pod, name, status or {})
    count = int(status.get("restartCount") or 0)
    if previous and not count:
        raise _no_previous(pod, name)
    return count - 1 if previous else count


def _waiting(pod: Obj, name: str, status: Obj) -> Exception:
    waiting = (status.get("state") or {}).get("waiting") or {"reason": "ContainerCreating"}
    reason = waiting.get("reason", "")
    why = _WAITING_FOR.get(reason, reason)
    return bad_request(f'container "{name}" in pod "{name_of(pod)}" is waiting to start: {why}')


_WAITING_FOR = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def _no_previous(pod: Obj, name: str) -> Exception:
    return bad_request(f'previous terminated container "{name}" in pod "{name_of(pod)}" not found')


def _since(options: LogOptions) -> bytes:
    if options.since_time is not None:
        return crilog.stamp(options.since_time)
    if options.since_seconds is not None:
        return crilog.stamp(time.time() - options.since_seconds)
    return b""


def _phase(pod: Obj) -> str:
    return f"Current status={(pod.get('status') or {}).get('phase', 'Pending')}"


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def _connect(
    netns: Namespace, version: int, address: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sock = await netns.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return await asyncio.open_connection(sock=sock)


async def _converse(process: ExecProcess, options: ExecOptions, terminal: Terminal) -> int:
    """Carries the streams until the command has ended and its output has been passed on."""

    async def feed() -> None:
        if process.stdin is None:
            return
        while data := await terminal.read_stdin():
            process.stdin.write(data)
            await process.stdin.drain()
        if not options.tty:
            process.stdin.close()

    async def resize() -> None:
        while True:
            columns, rows = await terminal.next_size()
            process.resize(columns, rows)

    async def carry(stream: asyncio.StreamReader | None, write: Callable[[bytes], Awaitable[None]]) -> None:
        while stream is not None and (data := await stream.read(CHUNK_BYTES)):
            await write(data)

    helpers = []
    if options.stdin:
        helpers.append(asyncio.create_task(feed()))
    if options.tty:
        helpers.append(asyncio.create_task(resize()))
    try:
        _, _, code = await asyncio.gather(
            carry(process.stdout, terminal.write_stdout),
            carry(process.stderr, terminal.write_stderr),
            process.wait(),
        )
        return code
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
