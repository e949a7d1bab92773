"""exec and attach: a Terminal on five channels of a WebSocket, or on five streams of SPDY.

Channels and subprotocols: KEP-4006, `v5.channel.k8s.io` and `v4.channel.k8s.io`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import orjson

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.streams import ExecOptions, NodeStreams
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.streams import spdy, websocket
from sampan.apiserver.streams.channels import Channels
from sampan.apiserver.streams.pipe import Pipe

log = logging.getLogger(__name__)

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255
_LARGEST = 0xFFFF
"""Columns or rows of a terminal, as the kernel keeps them."""
_STREAM_NAMES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
_STREAMS_TIMEOUT_S = 30.0


class ClientTerminal:
    """Keeps api.streams.Terminal; fed by who reads the connection. `gone`: whether the client has left."""

    def __init__(self, send: Callable[[int, bytes], Awaitable[None]], gone: Callable[[], bool]) -> None:
        self._send, self._gone = send, gone
        self._stdin = Pipe()
        self._size: tuple[int, int] | None = None
        self._resized = asyncio.Event()

    async def read_stdin(self) -> bytes:
        return await self._stdin.read()

    async def write_stdout(self, data: bytes) -> None:
        await self._send(STDOUT, data)

    async def write_stderr(self, data: bytes) -> None:
        await self._send(STDERR, data)

    async def next_size(self) -> tuple[int, int]:
        """Only the last size counts."""
        while (size := self._size) is None:
            self._resized.clear()
            await self._resized.wait()
        self._size = None
        return size

    async def feed(self, channel: int, data: bytes) -> None:
        """Something the client sent; waits while the container does not read its stdin."""
        if channel == STDIN:
            await self._stdin.put(data, self._gone)
        elif channel == RESIZE:
            for line in data.splitlines():
                with suppress(ValueError, KeyError, TypeError, OverflowError):
                    size = orjson.loads(line)
                    columns, rows = int(size["Width"]), int(size["Height"])
                    if 0 < columns <= _LARGEST and 0 < rows <= _LARGEST:
                        self._size = columns, rows
                        self._resized.set()

    def feed_end(self) -> None:
        """The client's stdin has ended."""
        self._stdin.end()


class Session(Protocol):
    """A client's connection for one exec or attach."""

    terminal: ClientTerminal

    async def receive(self) -> None:
        """Feeds the terminal until the client has gone."""

    async def greet(self, options: ExecOptions) -> None:
        """Before anything else."""

    async def finish(self, status: Obj) -> None:
        """Tells how it ended, and hangs up."""


async def serve(exchange: Exchange, node: NodeStreams, pod: Obj, options: ExecOptions) -> None:
    """Runs the session; raises StatusError when the client asked for no upgrade that is served."""
    if websocket.asked_for(exchange):
        session: Session = _WebSocketSession(exchange)
    elif spdy.asked_for(exchange):
        session = await _open_spdy(exchange, options)
    else:
        raise errors.bad_request("Upgrade request required")
    await _run(session, node, pod, options)


async def _run(session: Session, node: NodeStreams, pod: Obj, options: ExecOptions) -> None:
    """The command and the client race: a client that leaves ends the command."""
    loop = asyncio.get_running_loop()
    receiving = loop.create_task(session.receive())
    working = loop.create_task(_work(session, node, pod, options))
    try:
        await asyncio.wait((receiving, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            with suppress(ConnectionResetError):
                await session.finish(working.result())
    finally:
        for task in (receiving, working):
            task.cancel()
        await asyncio.gather(receiving, working, return_exceptions=True)


async def _work(session: Session, node: NodeStreams, pod: Obj, options: ExecOptions) -> Obj:
    """The Status that the error channel gets."""
    terminal = session.terminal
    try:
        await session.greet(options)
        if not options.command:
            await node.attach(pod, options, terminal)
            code = 0
        else:
            code = await node.exec(pod, options, terminal)
    except StatusError as error:
        return {**error.status, "reason": error.reason or "InternalError"}
    except ConnectionResetError:
        return _failure("the client has gone")
    except Exception as error:
        log.exception("exec in %s failed", pod["metadata"]["name"])
        return _failure(f"error executing command in container: {error}")
    return exit_status(code)


def exit_status(code: int) -> Obj:
    """How a command's end is told."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _failure(message: str) -> Obj:
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


class _WebSocketSession:
    def __init__(self, exchange: Exchange) -> None:
        self._channels = Channels(exchange)
        self.terminal = ClientTerminal(self._channels.send, self._channels.gone)

    async def greet(self, options: ExecOptions) -> None:
        """Nothing on the first channel that will be written to: so a client knows that it is connected."""
        first = STDOUT if options.stdout else STDERR if options.stderr else ERROR
        await self._channels.send(first, b"")

    async def receive(self) -> None:
        with suppress(websocket.Closed, ConnectionResetError):
            while True:
                channel, data = await self._channels.receive()
                if channel == CLOSE and self._channels.form.version >= 5:
                    if data[:1] == bytes((STDIN,)):
                        self.terminal.feed_end()
                else:
                    await self.terminal.feed(channel, data)

    async def finish(self, status: Obj) -> None:
        if self._channels.form.version >= 4:
            await self._channels.send(ERROR, orjson.dumps(status))
        elif status["status"] != "Success":
            await self._channels.send(ERROR, status["message"].encode())
        await self._channels.finish()


class _SpdySession:
    """Older kubectl: each channel is a SPDY stream of its own, named by its `streamtype` header."""

    def __init__(self, connection: spdy.Connection, streams: dict[int, spdy.Stream]) -> None:
        self._connection = connection
        self._streams = streams
        self.terminal = ClientTerminal(self._send, connection.gone)

    async def receive(self) -> None:
        feeders = [
            asyncio.get_running_loop().create_task(self._feed(channel))
            for channel in (STDIN, RESIZE)
            if channel in self._streams
        ]
        try:
            await self._connection.closed()
        finally:
            for task in feeders:
                task.cancel()
            await asyncio.gather(*feeders, return_exceptions=True)

    async def _feed(self, channel: int) -> None:
        with suppress(ConnectionResetError):
            while data := await self._streams[channel].read():
                await self.terminal.feed(channel, data)
        if channel == STDIN:
            self.terminal.feed_end()

    async def greet(self, options: ExecOptions) -> None:
        """Each stream that the client opens is answered by SPDY itself."""

    async def finish(self, status: Obj) -> None:
        for channel in (STDOUT, STDERR):
            if channel in self._streams:
                await self._streams[channel].end()
        await self._send(ERROR, orjson.dumps(status))
        await self._streams[ERROR].end()
        await self._connection.finish()

    async def _send(self, channel: int, data: bytes) -> None:
        stream = self._streams.get(channel)
        if stream is not None:
            await stream.write(data)


async def _open_spdy(exchange: Exchange, options: ExecOptions) -> _SpdySession:
    """Waits for the streams that the options call for."""
    connection = spdy.accept(exchange, ("v5.channel.k8s.io", "v4.channel.k8s.io"))
    wanted = {ERROR}
    flags = (
        (STDIN, options.stdin),
        (STDOUT, options.stdout),
        (STDERR, options.stderr),
        (RESIZE, options.tty),
    )
    wanted |= {channel for channel, on in flags if on}
    streams: dict[int, spdy.Stream] = {}
    try:
        async with asyncio.timeout(_STREAMS_TIMEOUT_S):
            while not wanted <= streams.keys():
                stream = await connection.next_stream()
                if stream is None:
                    break
                channel = _STREAM_NAMES.get(stream.headers.get("streamtype", ""))
                if channel is not None:
                    streams[channel] = stream
    except TimeoutError:
        pass
    if not wanted <= streams.keys():
        await connection.finish()
        raise ConnectionResetError("the client did not open the streams it asked for")
    return _SpdySession(connection, streams)
