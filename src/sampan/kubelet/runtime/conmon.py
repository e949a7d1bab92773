"""conmon: the small process beside each container that holds its pipes, writes its log and its exit code.

It outlives us. We meet it through files in the bundle: `pidfile`, `conmon.pid`, `attach` (seqpacket socket),
`ctl` (fifo), `persist/oom`; and through the exit directory. Formats: conmon(8) and its source, v2.1.6.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from sampan.kubelet.runtime import pipes
from sampan.kubelet.runtime.mountspace import Birthplace
from sampan.kubelet.runtime.process import Child, ProcessId, identify, reap, spawn

CREATE_DEADLINE_S = 60.0
_LOGGED = re.compile(r'level=error msg="((?:[^"\\]|\\.)*)"')


class ConmonFault(Exception):
    """The container could not be created; the text is the OCI runtime's."""


@dataclass(frozen=True, slots=True)
class Command:
    """What all containers of a runtime are made with."""

    conmon: str
    runtime: str
    state_dir: Path
    exit_dir: Path

    def argv(self, container_id: str, name: str, bundle: Path, log: str, flags: Sequence[str]) -> list[str]:
        return [
            *(self.conmon, "--api-version", "1"),
            *("-c", container_id, "-u", container_id, "-n", name),
            *("-r", self.runtime, f"--runtime-arg=--root={self.state_dir}"),
            *("-b", str(bundle), "-0", str(bundle / "persist")),
            *("-p", str(bundle / "pidfile"), "-P", str(bundle / "conmon.pid")),
            *("--exit-dir", str(self.exit_dir), "--full-attach", "--no-sync-log", "--log-level", "warning"),
            *("-l", f"k8s-file:{log}"),
            *flags,
        ]


def flags(*, stdin: bool, stdin_once: bool, tty: bool) -> list[str]:
    chosen = ["-i"] if stdin else []
    chosen += ["--leave-stdin-open"] if stdin and not stdin_once else []
    return [*chosen, "-t"] if tty else chosen


async def create(
    argv: Sequence[str], bundle: Path, space: Birthplace | None = None, sources: Sequence[str] = ()
) -> tuple[ProcessId, ProcessId]:
    """(container's init, conmon). The container is then created, not started. Raises ConmonFault.

    `space`: where conmon and the runtime live if they must see other mounts than we do.
    `sources`: what the runtime is to mount from there.
    """
    (bundle / "persist").mkdir(exist_ok=True)
    sync_r, sync_w = os.pipe2(os.O_CLOEXEC)
    start_r, start_w = os.pipe2(os.O_CLOEXEC)
    env = {
        "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin",
        "_OCI_SYNCPIPE": str(sync_w),
        "_OCI_STARTPIPE": str(start_r),
    }
    try:
        with (bundle / "conmon.err").open("wb") as errors:

            def start() -> subprocess.Popen[bytes]:
                fds = (sync_w, start_r)
                return spawn(argv, stderr=errors, pass_fds=fds, env=env, cwd=bundle, new_session=True)

            child = Child(await space.call(start, sources) if space is not None else start())
        os.write(start_w, b"\0")  # conmon forks nothing before this byte
    except BaseException as error:
        os.close(sync_r)
        if isinstance(error, OSError):
            raise ConmonFault(f"conmon cannot run: {error}") from error
        raise
    finally:
        for fd in (sync_w, start_r, start_w):
            os.close(fd)
    stream, transport = await pipes.reader(sync_r)
    try:
        line = await asyncio.wait_for(stream.readline(), CREATE_DEADLINE_S)
    except (TimeoutError, asyncio.CancelledError) as error:
        await _abandon(child, bundle)
        if isinstance(error, TimeoutError):
            raise ConmonFault(f"the container was not created in {CREATE_DEADLINE_S:g} s") from error
        raise
    finally:
        transport.close()
    pid, message = parse_sync(line)
    if pid > 0:
        init, conmon_pid = identify(pid), identify(_read_pid(bundle / "conmon.pid"))
        if init is not None and conmon_pid is not None:
            return init, conmon_pid
        message = message or "the container ended while it was created"
    await _abandon(child, bundle)
    text = message or (bundle / "conmon.err").read_text(errors="replace").strip()
    raise ConmonFault(text or "conmon ended without a word")


def parse_sync(line: bytes) -> tuple[int, str]:
    """(pid, error text) of the sync pipe's line; pid -1 for a failure, also for an empty line."""
    if not line.strip():
        return -1, ""
    doc = orjson.loads(line)
    return int(doc.get("data", doc.get("pid", -1))), plain(str(doc.get("message", "")))


def plain(message: str) -> str:
    """crun says what is wrong and nothing else; runc says it in the lines of its logger."""
    found = _LOGGED.findall(message)
    return (found[-1].encode().decode("unicode_escape") if found else message).strip()


def resize(bundle: Path, columns: int, rows: int) -> None:
    _control(bundle, f"1 {rows} {columns}\n")


def reopen_log(bundle: Path) -> None:
    _control(bundle, "2 0 0\n")


def _control(bundle: Path, text: str) -> None:
    try:
        fd = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # conmon is gone, and with it what was to be controlled
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


async def _abandon(child: Child, bundle: Path) -> None:
    """Nothing of a failed creation stays, nor its zombie where we are the subreaper."""
    stuck = child.running
    if stuck:
        child.kill_group()
    if pid := _read_pid(bundle / "conmon.pid"):
        if stuck:
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(reap, pid)


def _read_pid(path: Path) -> int:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0
