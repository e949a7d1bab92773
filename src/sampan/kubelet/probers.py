"""One probe of one container: exec, httpGet, tcpSocket or grpc; the Outcome is in upstream's words."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.kubelet import grpchealth, httpget
from sampan.kubelet.backoff import duration
from sampan.kubelet.network.contract import Namespace
from sampan.kubelet.probes import Outcome
from sampan.kubelet.runtime.contract import Runtime, RuntimeFault

OUTPUT_LIMIT = 10 * 1024
EXEC_CANNOT_START = 126


@dataclass(frozen=True, slots=True)
class Target:
    """The container that is probed."""

    pod: Obj
    container: Obj
    container_id: str
    ip: str


class Prober:
    """`netns`: the node's, from which the Pods' addresses can be reached."""

    def __init__(self, runtime: Runtime, netns: Namespace) -> None:
        self._runtime, self._netns = runtime, netns

    async def probe(self, target: Target, probe: Obj) -> Outcome:
        timeout_s = float(probe.get("timeoutSeconds") or 1)
        for field, handler in self._handlers():
            if (action := probe.get(field)) is not None:
                return await handler(target, action, timeout_s)
        return Outcome(False, "missing probe handler", unknown=True)

    def _handlers(self) -> tuple[tuple[str, Callable[[Target, Obj, float], Awaitable[Outcome]]], ...]:
        return (
            ("httpGet", self._http_get),
            ("exec", self._exec),
            ("tcpSocket", self._tcp_socket),
            ("grpc", self._grpc),
        )

    async def _exec(self, target: Target, action: Obj, timeout_s: float) -> Outcome:
        command = action.get("command") or []
        try:
            code, output = await run_command(self._runtime, target.container_id, command, timeout_s)
        except TimeoutError:
            return Outcome(
                False, f'command timed out: "{" ".join(command)}" timed out after {duration(timeout_s)}'
            )
        except RuntimeFault as fault:
            return Outcome(False, fault.message, unknown=True)
        return Outcome(code == 0, output)

    async def _http_get(self, target: Target, action: Obj, timeout_s: float) -> Outcome:
        port = port_number(target.container, action["port"])
        if port is None:
            return _no_port(action["port"])
        scheme, host, path = action.get("scheme", "HTTP"), action.get("host") or target.ip, action.get("path")
        headers = httpget.headers_of(action)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await httpget.get(self._netns, scheme, host, port, path or "/", headers)
        except TimeoutError:
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            url = f"{scheme.lower()}://{address}{path or '/'}"
            text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return Outcome(False, f'Get "{url}": {text}')
        except httpget.Unanswered as error:
            return Outcome(False, str(error), refused=error.refused)
        if 200 <= answer.code < 400:
            return Outcome(True, answer.body)
        return Outcome(False, f"HTTP probe failed with statuscode: {answer.code}")

    async def _tcp_socket(self, target: Target, action: Obj, timeout_s: float) -> Outcome:
        port = port_number(target.container, action["port"])
        if port is None:
            return _no_port(action["port"])
        host = action.get("host") or target.ip
        try:
            async with asyncio.timeout(timeout_s):
                (await httpget.connect(self._netns, host, port)).close()
        except TimeoutError:
            return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            text = httpget.dial_error(host, port, error)
            return Outcome(False, text, refused=error.errno == errno.ECONNREFUSED)
        return Outcome(True)

    async def _grpc(self, target: Target, action: Obj, timeout_s: float) -> Outcome:
        port, service = int(action["port"]), action.get("service") or ""
        address = f"{target.ip}:{port}"
        try:
            async with asyncio.timeout(timeout_s):
                sock = await httpget.connect(self._netns, target.ip, port)
                serving = await grpchealth.check(sock, address, service)
        except TimeoutError:
            text = f'timeout: failed to connect service "{address}" within {duration(timeout_s)}'
            return Outcome(False, f"{text}: context deadline exceeded")
        except OSError as error:
            cause = httpget.dial_error(target.ip, port, error)
            text = f'error: failed to connect service at "{address}": {cause}'
            return Outcome(False, text, refused=error.errno == errno.ECONNREFUSED)
        except grpchealth.Unhealthy as error:
            return Outcome(False, str(error))
        return Outcome(serving, "service healthy" if serving else "service unhealthy")


async def run_command(
    runtime: Runtime, container_id: str, argv: list[str], timeout_s: float | None
) -> tuple[int, str]:
    """(exit code, output of both streams, cut). The command is ended when the time is up: TimeoutError."""
    process = await runtime.exec(container_id, argv)
    output = bytearray()

    async def read(stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (data := await stream.read(4096)):
            output.extend(data[: OUTPUT_LIMIT - len(output)])

    try:
        async with asyncio.timeout(timeout_s):
            _, _, code = await asyncio.gather(read(process.stdout), read(process.stderr), process.wait())
    except (TimeoutError, asyncio.CancelledError):
        await process.kill()
        raise
    return code, output.decode(errors="replace")


def _no_port(name: object) -> Outcome:
    """Upstream reads a name that no port has as a number, and says that it is none."""
    return Outcome(False, f'strconv.Atoi: parsing "{name}": invalid syntax', unknown=True)


def port_number(container: Obj, port: int | str) -> int | None:
    """A probe's port: a number, digits, or the name of a port of this container."""
    if isinstance(port, str) and port.isdigit():
        return int(port)
    return podspec.resolve_port({"spec": {"containers": [container]}}, port)
