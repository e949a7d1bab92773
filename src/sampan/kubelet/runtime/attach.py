"""The streams of a container's first process, through conmon's socket.

SOCK_SEQPACKET: a packet from conmon is one byte (2 stdout, 3 stderr) and data; to conmon it is raw stdin, and
shutting down our side is the end of stdin. Nothing is replayed: what came before is in the log.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from sampan.kubelet.runtime import conmon, pipes
from sampan.kubelet.runtime.contract import RuntimeFault

_PACKET = 8192
_STDOUT, _STDERR = 2, 3
_HIGH_WATER = 1 << 16


class _Connection:
    """Reading stops while a stream's reader lags behind; closed once conmon hangs up or we do."""

    def __init__(self, connected: socket.socket, *, tty: bool) -> None:
        self._socket, self._loop = connected, asyncio.get_running_loop()
        self._lagging: set[int] = set()
        self._on_close: list[Callable[[], None]] = []
        self.closed = False
        self.streams = {_STDOUT: asyncio.StreamReader(pipes.LIMIT_BYTES)}
        if not tty:
            self.streams[_STDERR] = asyncio.StreamReader(pipes.LIMIT_BYTES)
        for number, stream in self.streams.items():
            stream.set_transport(_Gate(self, number))
        self._loop.add_reader(connected, self._read)

    def gate(self, number: int, lagging: bool) -> None:
        (self._lagging.add if lagging else self._lagging.discard)(number)
        if self.closed:
            return
        if self._lagging:
            self._loop.remove_reader(self._socket)
        else:
            self._loop.add_reader(self._socket, self._read)

    def on_close(self, callback: Callable[[], None]) -> None:
        self._on_close.append(callback)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for stream in self.streams.values():
            stream.feed_eof()
        for callback in self._on_close:
            callback()

    def _read(self) -> None:
        try:
            packet = self._socket.recv(_PACKET + 1)
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet = b""
        if not packet:
            self.close()
            return
        self.streams.get(packet[0], self.streams[_STDOUT]).feed_data(packet[1:])


class _Gate(asyncio.ReadTransport):
    """What a StreamReader needs of its transport."""

    def __init__(self, connection: _Connection, number: int) -> None:
        super().__init__()
        self._connection, self._number = connection, number

    def pause_reading(self) -> None:
        self._connection.gate(self._number, True)

    def resume_reading(self) -> None:
        self._connection.gate(self._number, False)


class _Stdin(pipes.Outlet):
    """Closing it is the end of the container's stdin; its output goes on."""

    def __init__(self, connection: _Connection, connected: socket.socket) -> None:
        super().__init__()
        self._connection, self._socket = connection, connected
        self._loop = asyncio.get_running_loop()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._closing = self._shut = False
        connection.on_close(self._gone)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._connection.closed:
            return
        whole = bytes(data)
        self._queue.extend(whole[start : start + _PACKET] for start in range(0, len(whole), _PACKET))
        self._queued += len(whole)
        self._flush()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        self._flush()

    def _flush(self) -> None:
        if self._connection.closed or self._shut:
            return
        while self._queue:
            try:
                self._socket.send(self._queue[0])
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._flush)
                self.hold(self._queued > _HIGH_WATER)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._connection.close()
                return
            self._queued -= len(self._queue.popleft())
        self._loop.remove_writer(self._socket)
        self.hold(False)
        if self._closing:
            self._shut = True
            self._socket.shutdown(socket.SHUT_WR)
            self.lost()

    def _gone(self) -> None:
        self._closing = True
        self._queue.clear()
        self.hold(False)
        if not self._shut:
            self._shut = True
            self.lost()


class Attachment:
    """Keeps contract.ExecProcess; but `kill` only lets go of the container, it does not end it."""

    started = True

    def __init__(
        self, connected: socket.socket, bundle: Path, ended: Awaitable[int], *, stdin: bool, tty: bool
    ) -> None:
        self._connection = _Connection(connected, tty=tty)
        self.stdout = self._connection.streams[_STDOUT]
        self.stderr = self._connection.streams.get(_STDERR)
        self.stdin = _Stdin(self._connection, connected).stream if stdin else None
        self._bundle, self._ended = bundle, asyncio.ensure_future(ended)

    def resize(self, columns: int, rows: int) -> None:
        conmon.resize(self._bundle, columns, rows)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def kill(self) -> None:
        self._connection.close()


async def attach(bundle: Path, ended: Awaitable[int], *, stdin: bool, tty: bool) -> Attachment:
    """Raises RuntimeFault("AttachError"). `ended` gives the container's exit code."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connected.setblocking(False)
        # A socket's path may have 107 bytes only, hence the detour by descriptor.
        connected.connect(f"/proc/self/fd/{directory}/attach")
    except OSError as error:
        connected.close()
        asyncio.ensure_future(ended).cancel()
        raise RuntimeFault("AttachError", f"the container's streams cannot be reached: {error}") from error
    finally:
        os.close(directory)
    return Attachment(connected, bundle, ended, stdin=stdin, tty=tty)
