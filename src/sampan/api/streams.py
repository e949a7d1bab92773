"""What an API server asks of the node that runs a Pod: logs, exec, attach, port-forward.

The API server speaks WebSocket (and SPDY) to the client and this to the node; in one process it is a direct
call. Refusals are StatusErrors in upstream's words.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sampan.api.objects import Obj


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions; `since_time` is seconds since the epoch, `stream` is All, Stdout or Stderr."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: float | None = None
    limit_bytes: int | None = None
    stream: str = "All"


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """PodExecOptions and PodAttachOptions; `command` is empty for attach."""

    container: str = ""
    command: Sequence[str] = ()
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What the node answers at a path of its own; `moved` is a relative URL where the page is instead."""

    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    moved: str = ""


class Terminal(Protocol):
    """The client's end of an exec or attach session."""

    async def read_stdin(self) -> bytes:
        """The next bytes the client sent; `b""` once it has closed its stdin (or left)."""

    async def write_stdout(self, data: bytes) -> None: ...

    async def write_stderr(self, data: bytes) -> None: ...

    async def next_size(self) -> tuple[int, int]:
        """Waits for the next window size, (columns, rows); never returns when there is none to come."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a node's own HTTP endpoints answer: metrics, statistics, the Pods it has."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """`cpu_nanocores` is the rate over the window, `memory_bytes` the working set."""

    name: str
    cpu_nanocores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class PodUsage:
    """What a Pod's running containers use, on the average of the `window_s` before `at_s` (epoch)."""

    namespace: str
    name: str
    at_s: float
    window_s: float
    containers: Sequence[ContainerUsage]


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """What a whole node uses, and each of its Pods with running containers."""

    at_s: float
    window_s: float
    cpu_nanocores: int
    memory_bytes: int
    pods: Sequence[PodUsage]


NO_NUMBERS = Numbers(404, "text/plain; charset=utf-8", b"404 page not found\n")


class NodeStreams(Protocol):
    """The streaming side of one node; `pod` is the Pod object as the API has it."""

    async def logs(self, pod: Obj, options: LogOptions) -> AsyncIterator[bytes]:
        """The log as chunks; raises before the first chunk if there is nothing to show."""

    async def exec(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> int:
        """Runs a command in a running container; answers its exit code when it has ended.

        A cancelled exec (the client has gone) ends the command.
        """

    async def attach(self, pod: Obj, options: ExecOptions, terminal: Terminal) -> None: ...

    async def port_forward(self, pod: Obj, port: int) -> tuple[StreamReader, StreamWriter]:
        """A TCP connection to `localhost:port` inside the Pod's network namespace."""

    async def numbers(self, path: str) -> Numbers:
        """What the node's endpoint at `path` (`/metrics`, `/stats/summary?only_cpu_and_memory=true`) tells.

        An unknown path is NO_NUMBERS, not an error.
        """

    async def page(self, path: str) -> Page | None:
        """What else a kubelet's HTTP server has at a path: its health, its directory of logs."""

    async def usage(self) -> NodeUsage:
        """What the node and its Pods use now; takes up to half a second if nobody asked lately."""
