"""The OCI runtime's program, crun or runc: start, delete, and the directory in which it keeps what it made.

`create` is conmon's to call (see conmon), `exec` has a module of its own. Where both are installed crun is
taken unless runc is asked for: it needs a third of the time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sampan.kubelet.runtime import process
from sampan.kubelet.runtime.contract import RuntimeFault

DEADLINE_S = 30.0

FIFO = "exec.fifo"
"""By which a container's first process hears that it is to start."""

TRIES = 3
KILLED = 128 + signal.SIGKILL
"""Somebody shot the command itself (the kernel, short of memory): what it was to do is still to be done."""


NAMES = ("crun", "runc")
"""Handlers a container may ask for, by preference."""


@dataclass(frozen=True, slots=True)
class OciTool:
    """`name` is one of NAMES, `path` where the program lies."""

    name: str
    path: str
    state_dir: Path

    async def start(self, container_id: str) -> None:
        """Raises RuntimeFault("RunContainerError")."""
        if not self._open_fifo(container_id):
            await self._run("RunContainerError", "start", container_id)

    def waits(self, container_id: str, pid: int) -> bool:
        """Whether the first process of a container that was created is still to be started.

        It holds the fifo open until then, and the fifo outlives whoever was killed before it could remove it.
        """
        try:
            fifo = (self.state_dir / container_id / FIFO).stat()
            return any(os.path.samestat(fifo, held.stat()) for held in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return False

    async def delete(self, container_id: str) -> None:
        """Ends and forgets it; no error if there is none. Raises RuntimeFault("KillContainerError")."""
        if (self.state_dir / container_id).exists():
            await self._run("KillContainerError", "delete", "--force", container_id)

    def _open_fifo(self, container_id: str) -> bool:
        """What `crun start` does, without the 2 ms of running it: the init waits for a byte in this fifo.

        runc's init is the one that writes: there is no reader then, and nothing happens.
        """
        fifo = self.state_dir / container_id / FIFO
        try:
            fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False  # not waiting there (yet), or otherwise: the program knows better
        try:
            os.write(fd, b"\0")
        finally:
            os.close(fd)
        fifo.unlink()
        return True

    async def _run(self, reason: str, *arguments: str) -> None:
        argv = [self.path, f"--root={self.state_dir}", *arguments]
        try:
            for _ in range(TRIES):
                done = await process.run(argv, deadline_s=DEADLINE_S)
                if done.code != KILLED:
                    break
        except (TimeoutError, OSError) as error:
            text = f"{self.name} {arguments[0]} did not end in {DEADLINE_S:g} s"
            raise RuntimeFault(reason, text if isinstance(error, TimeoutError) else str(error)) from error
        if done.code != 0:
            raise RuntimeFault(reason, f"{self.name} {arguments[0]} failed: {done.errors.strip()}")


class OciTools:
    """Those that the host has. `found`: name -> path; their state lies in directories below `run`."""

    def __init__(self, found: Mapping[str, str], run: Path) -> None:
        self._tools = {name: OciTool(name, found[name], run / name) for name in NAMES if name in found}

    def __iter__(self) -> Iterator[OciTool]:
        return iter(self._tools.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    def choice(self, handler: str) -> str:
        """The name of the one that a new container gets. Raises RuntimeFault("CreateContainerError")."""
        name = handler or self.names[0]
        if name not in self._tools:
            text = f'no runtime for "{name}" on this node: it has {", ".join(self._tools)}'
            raise RuntimeFault("CreateContainerError", text)
        return name

    def of(self, name: str) -> OciTool:
        """The one that made a container; an earlier version noted no name. Raises RuntimeFault."""
        if (tool := self._tools.get(name or self.names[0])) is None:
            raise RuntimeFault("RunContainerError", f"{name}, which made this container, is not installed")
        return tool

    def waits(self, container_id: str, pid: int) -> bool:
        """See OciTool; whoever made it."""
        return any(tool.waits(container_id, pid) for tool in self)

    async def delete(self, container_id: str) -> None:
        """Whoever made it."""
        for tool in self:
            await tool.delete(container_id)

    def known(self) -> list[str]:
        """IDs of all containers that any of them has a state of."""
        return sorted(left.name for tool in self for left in tool.state_dir.iterdir())
