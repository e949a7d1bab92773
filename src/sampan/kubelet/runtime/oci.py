"""The crun program: start, delete, and the state directory in which it keeps what it made.

`create` is conmon's to call (see conmon), `exec` has a module of its own.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from sampan.kubelet.runtime import process
from sampan.kubelet.runtime.contract import RuntimeFault

DEADLINE_S = 30.0

TRIES = 3
KILLED = 128 + signal.SIGKILL
"""Somebody shot the command itself (the kernel, short of memory): what it was to do is still to be done."""


@dataclass(frozen=True, slots=True)
class Crun:
    tool: str
    state_dir: Path

    async def start(self, container_id: str) -> None:
        """Raises RuntimeFault("RunContainerError")."""
        if not self._open_fifo(container_id):
            await self._run("RunContainerError", "start", container_id)

    async def delete(self, container_id: str) -> None:
        """Ends and forgets it; no error if there is none. Raises RuntimeFault("KillContainerError")."""
        if (self.state_dir / container_id).exists():
            await self._run("KillContainerError", "delete", "--force", container_id)

    def _open_fifo(self, container_id: str) -> bool:
        """What `crun start` does, without the 2 ms of running it: the init waits for a byte in this fifo."""
        fifo = self.state_dir / container_id / "exec.fifo"
        try:
            fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False  # not waiting there (yet), or another crun: `crun start` knows better
        try:
            os.write(fd, b"\0")
        finally:
            os.close(fd)
        fifo.unlink()
        return True

    async def _run(self, reason: str, *arguments: str) -> None:
        argv = [self.tool, f"--root={self.state_dir}", *arguments]
        try:
            for _ in range(TRIES):
                done = await process.run(argv, deadline_s=DEADLINE_S)
                if done.code != KILLED:
                    break
        except (TimeoutError, OSError) as error:
            text = f"crun {arguments[0]} did not end in {DEADLINE_S:g} s"
            raise RuntimeFault(reason, text if isinstance(error, TimeoutError) else str(error)) from error
        if done.code != 0:
            raise RuntimeFault(reason, f"crun {arguments[0]} failed: {done.errors.strip()}")
