"""A node without containers, for tests of what stands between it and the client.

`exec` knows five commands: `echo WORDS`, `cat`, `exit CODE`, `size`, and `flood BYTES`, which then goes on as
`cat`; anything else is a StatusError.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.streams import (
    NO_NUMBERS,
    ContainerUsage,
    ExecOptions,
    LogOptions,
    NodeUsage,
    Numbers,
    Page,
    PodUsage,
    Terminal,
)


class FakeNode:
    """Keeps api.streams.NodeStreams. Ports are those of the loopback interface."""

    def __init__(self) -> None:
        self.log = [b"first\n", b"second\n"]
        self.asked: list[LogOptions | ExecOptions] = []
        self.ended: list[str] = []
        self.more: asyncio.Queue[bytes] = asyncio.Queue()

    async def logs(self, pod: Obj, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if options.previous:
            name = pod["metadata"]["name"]
            raise errors.bad_request(f'previous terminated container "c" in pod "{name}" not found')
        return self._lines(options)

    async def _lines(self, options: LogOptions) -> AsyncIterator[bytes]:
        for line in self.log[-(options.tail_lines or 0) :]:
            yield line
        while options.follow and (line := await self.more.get()):
            yield line

    async def exec(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> int:
        self.asked.append(options)
        command, *words = options.command
        try:
            if command == "flood":
                for _ in range(0, int(words[0]), 50_000):
                    await terminal.write_stdout(bytes(50_000))
            if command in ("cat", "flood"):
                while data := await terminal.read_stdin():
                    await terminal.write_stdout(data)
            elif command == "exit":
                return int(words[0])
            elif command == "echo":
                await terminal.write_stdout(" ".join(words).encode() + b"\n")
                await terminal.write_stderr(b"said\n")
            elif command == "size":
                columns, rows = await terminal.next_size()
                await terminal.write_stdout(f"{columns}x{rows}".encode())
            else:
                raise errors.internal(f'exec: "{command}": executable file not found in $PATH')
        finally:
            self.ended.append(command)
        return 0

    async def attach(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> None:
        self.asked.append(options)
        await terminal.write_stdout(b"attached\n")

    async def page(self, path: str) -> Page | None:
        return Page(b"ok") if path == "/healthz" else None

    async def port_forward(self, pod: Obj, port: int) -> tuple[StreamReader, StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)

    async def usage(self) -> NodeUsage:
        containers = [ContainerUsage("c", 1_500_000, 3 << 20)]
        return NodeUsage(0.0, 15.0, 250_000_000, 1 << 30, [PodUsage("default", "web", 0.0, 10.5, containers)])

    async def numbers(self, path: str) -> Numbers:
        return Numbers(200, "text/plain", b"a_number 1\n") if path == "/metrics" else NO_NUMBERS
