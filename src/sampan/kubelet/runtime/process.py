"""Processes, ours and others', watched by pidfd on the event loop: no SIGCHLD handler, no thread per child.

Pids come round soon (pid_max is 32768 on small machines), so a pid from a file is believed only together with
the start time that was written beside it.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sampan.kubelet.runtime import pipes

Stream = int | IO[bytes] | None

_PF_EXITING = 0x4
"""Of the ninth field of /proc/PID/stat (include/linux/sched.h)."""

watched: set[int] = set()
"""Pids whose status some `Watched` or `Child` will take."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process for good: `start_ticks` is field 22 of /proc/PID/stat, in clock ticks since boot."""

    pid: int
    start_ticks: int


def identify(pid: int) -> ProcessId | None:
    """None if there is no such process, or only its zombie."""
    fields = _stat(pid)
    return ProcessId(pid, int(fields[19])) if fields and fields[0] not in ("Z", "X") else None


def is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]


def is_ending(process: ProcessId) -> bool:
    """It is gone or on its way: the first of a pid namespace is so until all others of it have ended."""
    fields = _stat(process.pid)
    return not fields or int(fields[19]) != process.start_ticks or bool(int(fields[6]) & _PF_EXITING)


def parent_of(pid: int) -> int:
    """0 if there is no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def end_all_naming(paths: Collection[str], deadline_s: float = 5.0) -> None:
    """Kills everybody who has one of `paths` among his arguments, and awaits it. Blocks."""
    deadline = time.monotonic() + deadline_s
    words = {os.fsencode(path) for path in paths}
    while pids := [pid for pid in _pids() if words & _arguments(pid)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} do not end")
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.005)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _arguments(pid: int) -> set[bytes]:
    """Of a zombie there are none."""
    try:
        return set(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"))
    except (FileNotFoundError, ProcessLookupError):
        return set()


def _stat(pid: int) -> list[str]:
    """Fields from the third on: the second, the name, may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class Watched:
    """A pidfd on the loop. `on_end` is called once, when the process has ended; then nothing is held open."""

    def __init__(self, identity: ProcessId, on_end: Callable[[], None]) -> None:
        """Raises ProcessLookupError if it is gone or the pid is somebody else's by now."""
        self.identity = identity
        self._fd = os.pidfd_open(identity.pid)
        now = identify(identity.pid)
        if now is not None and now != identity:
            os.close(self._fd)
            raise ProcessLookupError(identity.pid)
        self._on_end = on_end
        self.status: int | None = None
        """What waitid says, as 128+n for signals; None if it was not our child or still runs."""
        self.ended = False
        watched.add(identity.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._end)

    def signal(self, number: int) -> None:
        """No error if it is gone."""
        if not self.ended:
            try:
                signal.pidfd_send_signal(self._fd, number)
            except ProcessLookupError:
                return

    def close(self) -> None:
        """Stops watching; idempotent."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            watched.discard(self.identity.pid)

    def _end(self) -> None:
        try:
            result = os.waitid(os.P_PIDFD, self._fd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            result = None  # somebody else's child: its status is not ours to see
        if result is not None:
            killed = result.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            self.status = 128 + result.si_status if killed else result.si_status
        self.ended = True
        self.close()
        self._on_end()


def reap(pid: int, deadline_s: float = 1.0) -> None:
    """Takes the status of a child that has ended or soon will, and that nobody watches. Blocks meanwhile."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if select.select([fd], [], [], deadline_s)[0]:
            os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return
    finally:
        os.close(fd)


def spawn(
    argv: Sequence[str],
    *,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.DEVNULL,
    stderr: Stream = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Returns once it runs. Raises FileNotFoundError. Without preexec_fn Python uses vfork: 0.3 ms."""
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        env=env,
        cwd=cwd,
        start_new_session=new_session,
    )


class Child:
    """A command that this process started."""

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        """Nobody else may wait for it."""
        self._popen = started
        self.pid = started.pid
        watched.add(self.pid)
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[int] = self._loop.create_future()
        self._fd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._fd, self._reap)

    def _reap(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        code = self._popen.wait()
        watched.discard(self.pid)
        if not self._done.done():
            self._done.set_result(code if code >= 0 else 128 - code)

    @property
    def running(self) -> bool:
        return not self._done.done()

    async def wait(self) -> int:
        """The exit code, 128+n for signal n."""
        return await asyncio.shield(self._done)

    def kill_group(self) -> None:
        """Only for one started with `new_session`."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


@dataclass(frozen=True, slots=True)
class Finished:
    """What `run` saw."""

    code: int
    output: str
    errors: str


async def run(argv: Sequence[str], *, deadline_s: float) -> Finished:
    """A short command from start to end, its output kept. Raises TimeoutError after killing it."""
    out_r, out_w = os.pipe2(os.O_CLOEXEC)
    err_r, err_w = os.pipe2(os.O_CLOEXEC)
    try:
        child = Child(spawn(argv, stdout=out_w, stderr=err_w, new_session=True))
    except OSError:
        os.close(out_r)
        os.close(err_r)
        raise
    finally:
        os.close(out_w)
        os.close(err_w)
    transports: list[asyncio.ReadTransport] = []
    try:
        (out, out_transport), (err, err_transport) = await pipes.readers(out_r, err_r)
        transports += [out_transport, err_transport]
        async with asyncio.timeout(deadline_s):
            output, errors, code = await asyncio.gather(out.read(), err.read(), child.wait())
    except BaseException:
        child.kill_group()
        raise
    finally:
        for transport in transports:
            transport.close()
    return Finished(code, output.decode(errors="replace"), errors.decode(errors="replace"))
