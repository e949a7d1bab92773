"""One container in memory: its state on disk, its two processes, and the moment it ends.

A container has ended when its exit file is there, or when both its conmon and its first process are gone.
That moment is found once, whichever of the three tells first. A container without a conmon is killed: nobody
reads what it writes, and its Pod's restart policy knows what to do.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

from sampan.kubelet.runtime import exits, state
from sampan.kubelet.runtime.contract import Exit, Record
from sampan.kubelet.runtime.process import ProcessId, Watched
from sampan.kubelet.runtime.state import ContainerState

log = logging.getLogger(__name__)

STATE_FILE = "container.json"


class Container:
    """`lock` serialises the calls on it. `on_end` is called on the loop, once."""

    def __init__(
        self,
        found: ContainerState,
        bundle: Path,
        exit_files: exits.ExitDirectory,
        on_end: Callable[[Container, Exit], None],
    ) -> None:
        self.state, self.bundle, self.lock = found, bundle, asyncio.Lock()
        self.removed = False
        self._killed = False
        self._exit_files, self._on_end = exit_files, on_end
        self._ended = asyncio.Event()
        self._init: Watched | None = None
        self._conmon: Watched | None = None
        self._conmon_gone = asyncio.Event()
        if found.exit is not None:
            self._ended.set()

    @property
    def id(self) -> str:
        return self.state.spec.id

    @property
    def record(self) -> Record:
        return self.state.record()

    @property
    def running(self) -> bool:
        return self.state.started_at_s > 0 and self.state.exit is None

    def save(self) -> None:
        """Raises OSError (a full disk)."""
        state.write(self.bundle / STATE_FILE, self.state)

    def watch(self) -> None:
        """Once `init` and `conmon` are known: from now on its end is noticed."""
        self._conmon = self._follow(self.state.conmon, self._conmon_ended)
        if self._conmon is None:
            self._conmon_gone.set()
        if self.state.exit is None:
            self._init = self._follow(self.state.init, self.look)
            self.look()

    def look(self) -> None:
        """Whether it has ended meanwhile. Idempotent."""
        if self.state.exit is not None or self.state.init is None:
            return
        exit = self._exit_files.read(self.id, self.bundle)
        if exit is None and self._conmon_gone.is_set():
            if self._init is None or self._init.ended:
                status = self._init.status if self._init else None
                exit = exits.unseen(status, time.time(), oom_file=(self.bundle / "persist" / "oom").exists())
            elif not self._killed:
                log.warning("killing container %s: its conmon died, and its output goes nowhere", self.id)
                self._killed = True
                self._init.signal(signal.SIGKILL)
        if exit is not None:
            self._end(exit)

    def signal(self, number: int) -> None:
        """No error if it is gone."""
        if self._init is not None and self.state.exit is None:
            self._init.signal(number)

    async def wait(self) -> Exit:
        await self._ended.wait()
        assert self.state.exit is not None
        return self.state.exit

    async def wait_conmon(self) -> None:
        await self._conmon_gone.wait()

    def kill_conmon(self) -> None:
        if self._conmon is not None:
            self._conmon.signal(9)

    def release(self) -> None:
        """Stops watching; idempotent."""
        for watched in (self._init, self._conmon):
            if watched is not None:
                watched.close()

    def _follow(self, identity: ProcessId | None, on_end: Callable[[], None]) -> Watched | None:
        if identity is None:
            return None
        try:
            return Watched(identity, on_end)
        except ProcessLookupError:
            return None

    def _conmon_ended(self) -> None:
        self._conmon_gone.set()
        self.look()

    def _end(self, exit: Exit) -> None:
        self.state.exit = exit
        try:
            self.save()
        except OSError as error:
            log.error("cannot note that container %s has ended: %s", self.id, error)
        self._ended.set()
        self._on_end(self, exit)
