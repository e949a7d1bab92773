"""What containers and commands run where there is no Linux: coroutines that see what a process would.

A program is `async (Process) -> exit code`. `PROGRAMS` are there in every test; whatever else is named runs
as `serve` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from sampan.kubelet.runtime.contract import ContainerSpec

Sink = Callable[[bytes, bool], None]
"""Takes what is written; True: to stderr."""


class Process:
    """One running command: what a program may touch."""

    def __init__(self, spec: ContainerSpec, argv: Sequence[str], out: Sink) -> None:
        self.spec, self.argv, self.env = spec, list(argv), spec.env
        self.stdin = asyncio.StreamReader()
        self.ignored: set[int] = set()
        """Signals that the program does not die of; SIGKILL always ends it."""
        self.size = (80, 24)
        self.killed = asyncio.Event()
        self.started = True
        """A program that raises FileNotFoundError never began."""
        self._out = out

    def write(self, text: str | bytes, *, error: bool = False) -> None:
        self._out(text.encode() if isinstance(text, str) else text, error)


Program = Callable[[Process], Awaitable[int]]


async def serve(process: Process) -> int:
    """Runs until it is signalled."""
    await asyncio.get_running_loop().create_future()
    return 0


async def _sleep(process: Process) -> int:
    await asyncio.sleep(float(process.argv[1]))
    return 0


async def _cat(process: Process) -> int:
    while data := await process.stdin.read(65536):
        process.write(data)
    return 0


async def _echo(process: Process) -> int:
    process.write(" ".join(process.argv[1:]) + "\n")
    return 0


async def _exit(process: Process) -> int:
    return int(process.argv[1])


async def _true(process: Process) -> int:
    return 0


async def _false(process: Process) -> int:
    return 1


PROGRAMS: Mapping[str, Program] = {
    "sleep": _sleep,
    "cat": _cat,
    "echo": _echo,
    "exit": _exit,
    "true": _true,
    "false": _false,
}
