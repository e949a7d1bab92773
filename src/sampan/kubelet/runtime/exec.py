"""A command inside a running container, by `crun exec --process`, with pipes or a pty of its own.

The whole process object is given: with its own options crun 1.8 runs the command as root and without
no_new_privs. The command is a grandchild that outlives crun, so `kill` goes by the pid file.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from sampan.kubelet.runtime import pipes
from sampan.kubelet.runtime.contract import RuntimeFault
from sampan.kubelet.runtime.process import Child, parent_of, spawn

START_DEADLINE_S = 30.0
_NOT_STARTED = 255
_CANNOT_RUN = 126
"""What a shell says of a command that it found no way to run."""
_POLL_S = 0.002

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Command:
    """`process`: the container's own OCI process object, whose user and limits the command gets."""

    crun: str
    state_dir: Path
    scratch: Path
    container_id: str
    process: Mapping[str, Any]
    argv: Sequence[str]
    tty: bool
    owner: tuple[int, int] | None = None
    """The user and group that the command is on the node, where its own are mapped to others."""


class CrunExec:
    """Keeps contract.ExecProcess."""

    def __init__(self, child: Child, pid_file: Path, files: Sequence[Path]) -> None:
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout = asyncio.StreamReader()
        self.stderr: asyncio.StreamReader | None = None
        self.started = True
        self._child, self._pid_file = child, pid_file
        self._pty = -1
        self._transports: list[asyncio.BaseTransport] = []
        self._code = asyncio.get_running_loop().create_task(self._finish(files))

    def resize(self, columns: int, rows: int) -> None:
        if self._pty >= 0:
            fcntl.ioctl(self._pty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def kill(self) -> None:
        while self._child.running:
            if (pid := self._command_pid()) and parent_of(pid) == self._child.pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # ended by itself meanwhile: crun is about to say so
                await self._child.wait()
            elif self._child.running:
                await asyncio.sleep(_POLL_S)  # crun has not forked it yet
        await self.wait()
        for transport in self._transports:
            transport.close()
        if self.stdin is not None:
            self.stdin.close()

    def _command_pid(self) -> int:
        try:
            return int(self._pid_file.read_text() or "0")
        except FileNotFoundError:
            return 0

    async def _finish(self, files: Sequence[Path]) -> int:
        code = await self._child.wait()
        self.started = code != _NOT_STARTED or self._command_pid() > 0
        if self._pty >= 0:
            os.close(self._pty)
            self._pty = -1
        for file in files:
            file.unlink(missing_ok=True)
        return code if self.started else _CANNOT_RUN


async def start(command: Command, *, stdin: bool) -> CrunExec:
    """Raises RuntimeFault("ExecError") if not even crun can be started."""
    base = command.scratch / f"{os.getpid()}-{next(_numbers)}"
    process_file, pid_file = base.with_suffix(".json"), base.with_suffix(".pid")
    process = {**command.process, "args": list(command.argv), "terminal": command.tty}
    if command.tty and not any(entry.startswith("TERM=") for entry in process["env"]):
        process["env"] = [*process["env"], "TERM=xterm"]
    process_file.touch(mode=0o600)
    process_file.write_bytes(orjson.dumps(process))
    argv = [command.crun, f"--root={command.state_dir}", "exec"]
    argv += ["--process", str(process_file), "--pid-file", str(pid_file)]
    files = [process_file, pid_file]
    try:
        if command.tty:
            return await _with_pty(argv, command, base, pid_file, files, stdin=stdin)
        argv.append(command.container_id)
        return await _with_pipes(argv, pid_file, files, stdin=stdin, owner=command.owner)
    except OSError as error:
        for file in files:
            file.unlink(missing_ok=True)
        raise RuntimeFault("ExecError", f"the command cannot be started: {error}") from error


async def _with_pipes(
    argv: list[str], pid_file: Path, files: list[Path], *, stdin: bool, owner: tuple[int, int] | None
) -> CrunExec:
    in_r, in_w = os.pipe2(os.O_CLOEXEC) if stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
    out_r, out_w = os.pipe2(os.O_CLOEXEC)
    err_r, err_w = os.pipe2(os.O_CLOEXEC)
    try:
        if owner is not None:
            for fd in (in_r, out_w, err_w) if stdin else (out_w, err_w):
                os.fchown(fd, *owner)
        child = Child(spawn(argv, stdin=in_r, stdout=out_w, stderr=err_w))
    except OSError:
        for fd in (in_w, out_r, err_r):
            if fd >= 0:
                os.close(fd)
        raise
    finally:
        for fd in (in_r, out_w, err_w):
            os.close(fd)
    running = CrunExec(child, pid_file, files)
    try:
        (running.stdout, out), (running.stderr, err) = await pipes.readers(out_r, err_r)
    except BaseException:
        if stdin:
            os.close(in_w)
        await running.kill()
        raise
    running._transports += [out, err]
    if stdin:
        running.stdin = await pipes.writer(in_w)
    return running


async def _with_pty(
    argv: list[str], command: Command, base: Path, pid_file: Path, files: list[Path], *, stdin: bool
) -> CrunExec:
    """crun makes the pty inside the container and hands us its other end over a socket."""
    loop = asyncio.get_running_loop()
    directory = os.open(command.scratch, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    socket_file = base.with_suffix(".sock")
    err_r, err_w = os.pipe2(os.O_CLOEXEC)
    try:
        # A socket's path may have 107 bytes only, hence the detour by descriptor.
        short = f"/proc/{os.getpid()}/fd/{directory}/{socket_file.name}"
        listener.bind(short)
        listener.listen(1)
        listener.setblocking(False)
        try:
            argv = [*argv, "--tty", "--console-socket", short, command.container_id]
            child = Child(spawn(argv, stdout=err_w, stderr=err_w))
        except OSError:
            os.close(err_r)
            raise
        finally:
            os.close(err_w)
        errors, errors_transport = await pipes.reader(err_r)
        running = CrunExec(child, pid_file, files)
        accepting = loop.create_task(loop.sock_accept(listener))
        finished = loop.create_task(running.wait())
        await asyncio.wait(
            {accepting, finished}, timeout=START_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not accepting.done():
            accepting.cancel()
            finished.cancel()
            # No pty: crun's own words are all there is to read.
            running.stdout = errors
            running._transports.append(errors_transport)
            return running
        finished.cancel()
        errors_transport.close()
        connection, _ = accepting.result()
        with connection:
            master = await _receive_descriptor(connection)
    finally:
        listener.close()
        os.close(directory)
        socket_file.unlink(missing_ok=True)
    running._pty = os.dup(master)
    if stdin:
        running.stdin = await pipes.writer(os.dup(master))
    running.stdout, transport = await pipes.reader(master)
    running._transports.append(transport)
    return running


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _receive_descriptor(connection: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, _settle, ready)
    try:
        await asyncio.wait_for(ready, START_DEADLINE_S)
    finally:
        loop.remove_reader(connection)
    _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    if not descriptors:
        raise OSError("the OCI runtime sent no terminal")
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]
