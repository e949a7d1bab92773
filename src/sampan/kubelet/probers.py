"""What is asked of a container: exec, httpGet, tcpSocket or grpc; the Outcome is in upstream's words.

A `Question` is made once for each probe of each running container, and asked again and again: names of ports,
addresses and requests are settled then. Asking over the network takes no task.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sampan.api import podspec
from sampan.api.dialing import address_of, dial_error
from sampan.api.objects import Obj
from sampan.kubelet import grpchealth, httpget
from sampan.kubelet.backoff import duration
from sampan.kubelet.dialogue import Dialogue, NotConnected
from sampan.kubelet.network.contract import Namespace
from sampan.kubelet.probes import Cancel, Done, Outcome, Question
from sampan.kubelet.runtime.contract import Runtime, RuntimeFault
from sampan.kubelet.socketstock import SocketStock

OUTPUT_LIMIT = 10 * 1024


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
        self._runtime = runtime
        self._stock = SocketStock(netns)

    def question(self, target: Target, probe: Obj) -> Question:
        timeout_s = float(probe.get("timeoutSeconds") or 1)
        if (action := probe.get("exec")) is not None:
            return _Exec(self._runtime, target.container_id, action.get("command") or [], timeout_s)
        if (action := probe.get("httpGet")) is not None:
            return self._http_get(target, action, timeout_s)
        if (action := probe.get("tcpSocket")) is not None:
            if (port := port_number(target.container, action["port"])) is None:
                return _no_port(action["port"])
            return _TcpSocket(self._stock, action.get("host") or target.ip, port, timeout_s)
        if (action := probe.get("grpc")) is not None:
            return _Grpc(self._stock, target.ip, int(action["port"]), action.get("service") or "", timeout_s)
        return _Unaskable("missing probe handler")

    def close(self) -> None:
        self._stock.close()

    def _http_get(self, target: Target, action: Obj, timeout_s: float) -> Question:
        if (port := port_number(target.container, action["port"])) is None:
            return _no_port(action["port"])
        scheme, host = action.get("scheme") or "HTTP", action.get("host") or target.ip
        try:
            errand = httpget.Errand.of(
                scheme, host, port, action.get("path") or "/", httpget.headers_of(action)
            )
        except ValueError as error:
            return _Unaskable(str(error))
        return _HttpGet(self._stock, errand, timeout_s)


async def ask(question: Question) -> Outcome:
    """For those who wait for one answer."""
    answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    cancel = question.ask(answered.set_result)
    try:
        return await answered
    finally:
        cancel()


@dataclass(frozen=True, slots=True)
class _HttpGet:
    stock: SocketStock
    errand: httpget.Errand
    timeout_s: float

    def ask(self, done: Done) -> Cancel:
        def answered(answer: httpget.Answer | httpget.Unanswered) -> None:
            if isinstance(answer, httpget.Unanswered):
                done(Outcome(False, str(answer), refused=answer.refused))
            else:
                done(_judged(answer))

        return httpget.Get(self.stock, self.errand, self.timeout_s, answered).cancel


def _judged(answer: httpget.Answer) -> Outcome:
    if 200 <= answer.code < 300:
        return Outcome(True, answer.body)
    if 300 <= answer.code < 400:
        return Outcome(True, f"Probe terminated redirects, Response body: {answer.body}", warning=True)
    # Not the body: who may read events may not be meant to read that.
    return Outcome(False, f"HTTP probe failed with statuscode: {answer.code}")


@dataclass(frozen=True, slots=True)
class _TcpSocket:
    stock: SocketStock
    host: str
    port: int
    timeout_s: float

    def ask(self, done: Done) -> Cancel:
        def answered(error: Exception | None) -> None:
            done(Outcome(True) if error is None else self._failure(error))

        return Dialogue(self.stock, self.host, self.port, None, answered, self.timeout_s).cancel

    def _failure(self, error: Exception) -> Outcome:
        assert isinstance(error, NotConnected)
        text = dial_error(error.host, self.port, error.cause)
        return Outcome(False, text, refused=error.refused)


class _Grpc:
    __slots__ = ("_address", "_host", "_opening", "_port", "_stock", "_timeout_s")

    def __init__(self, stock: SocketStock, host: str, port: int, service: str, timeout_s: float) -> None:
        self._stock, self._host, self._port, self._timeout_s = stock, host, port, timeout_s
        self._address = address_of(host, port)
        self._opening = grpchealth.opening(self._address, service)

    def ask(self, done: Done) -> Cancel:
        def answered(error: Exception | None) -> None:
            done(Outcome(True, "service healthy") if error is None else self._failure(error))

        script = grpchealth.Check(self._opening)
        return Dialogue(self._stock, self._host, self._port, script, answered, self._timeout_s).cancel

    def _failure(self, error: Exception) -> Outcome:
        if isinstance(error, grpchealth.Unhealthy):
            return Outcome(False, str(error))
        within = f"within {duration(self._timeout_s)}"
        if isinstance(error, NotConnected):
            if isinstance(error.cause, TimeoutError):
                text = f'timeout: failed to connect service "{self._address}" {within}'
                return Outcome(False, f"{text}: context deadline exceeded")
            cause = dial_error(error.host, self._port, error.cause)
            text = f'error: failed to connect service at "{self._address}": {cause}'
            return Outcome(False, text, refused=error.refused)
        if isinstance(error, TimeoutError):
            return Outcome(False, f"timeout: health rpc did not complete {within}")
        return Outcome(False, f"error: health rpc probe failed: {error}")


@dataclass(frozen=True, slots=True)
class _Exec:
    """A process in the container: the one kind that needs a task."""

    runtime: Runtime
    container_id: str
    command: list[str]
    timeout_s: float

    def ask(self, done: Done) -> Cancel:
        async def work() -> None:
            done(await self._run())

        return asyncio.get_running_loop().create_task(work(), name="probe").cancel

    async def _run(self) -> Outcome:
        try:
            code, output = await run_command(self.runtime, self.container_id, self.command, self.timeout_s)
        except TimeoutError:
            line = " ".join(self.command)
            return Outcome(False, f'command timed out: "{line}" timed out after {duration(self.timeout_s)}')
        except RuntimeFault as fault:
            return Outcome(False, fault.message, unknown=True)
        return Outcome(code == 0, output)


@dataclass(frozen=True, slots=True)
class _Unaskable:
    why: str

    def ask(self, done: Done) -> Cancel:
        loop = asyncio.get_running_loop()
        return loop.call_soon(done, Outcome(False, self.why, unknown=True)).cancel


async def run_command(
    runtime: Runtime, container_id: str, argv: list[str], timeout_s: float | None
) -> tuple[int, str]:
    """(exit code, output of both streams, cut). The command is ended when the time is up: TimeoutError.

    A command that cannot be run says nothing about the container, as upstream has it: RuntimeFault.
    """
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
    told = output.decode(errors="replace")
    if not process.started:
        raise RuntimeFault("ExecError", f"failed to exec in container: {told.strip()}")
    return code, told


def _no_port(name: object) -> Question:
    """Upstream reads a name that no port has as a number, and says that it is none."""
    return _Unaskable(f'strconv.Atoi: parsing "{name}": invalid syntax')


def port_number(container: Obj, port: int | str) -> int | None:
    """A probe's port: a number, digits, or the name of a port of this container."""
    if isinstance(port, str) and port.isdigit():
        return int(port)
    return podspec.resolve_port({"spec": {"containers": [container]}}, port)
