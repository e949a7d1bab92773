"""Sockets that outlive the process: nobody who asks while it is started anew is refused.

A small process that only sleeps holds the same sockets open. What arrives meanwhile waits
in them; the next process takes them back by pidfd_getfd(2) and answers. So a restart, be it by a crash, costs
who asks the time that it takes, which is less than that after which a resolver asks again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from fcntl import ioctl
from pathlib import Path

log = logging.getLogger(__name__)

TITLE = "sampan-dns-sockets"
_OWNER = "SAMPAN_DNS_SOCKETS"
"""All of a holder's environment: where it should be written down. One that is not is found by it."""
_SYS_PIDFD_GETFD = 438
_SIOCGSKNS = 0x894C
"""ioctl: a descriptor of the namespace that a socket lives in."""
_END_S = 2.0
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a socket is bound. `kind`: SOCK_STREAM or SOCK_DGRAM."""

    kind: int
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds, with when it began (a pid alone may be another's by now), and what it holds."""

    pid: int
    begun: int
    descriptors: tuple[tuple[Place, int], ...]


class Keeper:
    """`record`: where it is written down who holds. `open_socket` makes one that nobody has."""

    def __init__(
        self, record: Path, namespace: Path, open_socket: Callable[[Place], Awaitable[socket.socket]]
    ) -> None:
        self._record, self._namespace, self._open = record, namespace, open_socket

    async def sockets(self, places: Sequence[Place]) -> dict[Place, socket.socket]:
        """One for each place: what a process before us had there, or else a new one; held from now on.

        A place that somebody else has is left to them: a Pod on the node's network may have been quicker.
        """
        holder = read(self._record)
        found = self._taken(holder) if holder else {}
        whole = set(found) == set(places)
        if not whole:
            end(self._record)
        for place in found.keys() - set(places):
            found.pop(place).close()
        for place in places:
            if place not in found:
                try:
                    found[place] = await self._open(place)
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                    log.error("%s port %d is in use: no names are answered there", place.ip, place.port)
        if not whole:
            hold(self._record, found)
        return found

    def _taken(self, holder: Holder) -> dict[Place, socket.socket]:
        """Those of its sockets that are what they should be, in the namespace that there is now."""
        found: dict[Place, socket.socket] = {}
        try:
            pidfd = os.pidfd_open(holder.pid)
        except OSError:
            return found
        try:
            if begun_at(holder.pid) != holder.begun:
                return found
            for place, number in holder.descriptors:
                taken = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
                if taken < 0:
                    continue  # a kernel that forbids it: what arrives during a restart is lost, no more
                sock = socket.socket(fileno=taken)
                sock.set_inheritable(False)
                if self._is_at(sock, place):
                    found[place] = sock
                else:
                    sock.close()
        finally:
            os.close(pidfd)
        return found

    def _is_at(self, sock: socket.socket, place: Place) -> bool:
        if sock.type != place.kind or sock.getsockname()[:2] != (place.ip, place.port):
            return False
        descriptor = ioctl(sock.fileno(), _SIOCGSKNS)
        try:
            return os.fstat(descriptor).st_ino == self._namespace.stat().st_ino
        except FileNotFoundError:
            return False
        finally:
            os.close(descriptor)


def hold(record: Path, sockets: dict[Place, socket.socket]) -> None:
    """Starts a process that holds them, and writes it down."""
    sleep = shutil.which("sleep")
    if sleep is None:
        return
    # A program of many names goes by the first word; such a one cannot be called as we like.
    title = TITLE if Path(sleep).resolve().name == "sleep" else "sleep"
    numbers = {place: sock.fileno() for place, sock in sockets.items()}
    process = subprocess.Popen(
        [title, "infinity"],
        executable=sleep,
        pass_fds=tuple(numbers.values()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={_OWNER: str(record)},
        start_new_session=True,
        cwd="/",
    )
    process.returncode = 0  # it outlives us: nobody is to wait for it, or to complain that nobody did
    begun = begun_at(process.pid)
    rows = [[asdict(place), number] for place, number in numbers.items()]
    fresh = record.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": process.pid, "begun": begun, "descriptors": rows}))
    fresh.rename(record)


def read(record: Path) -> Holder | None:
    """Who is written down, if that can be read."""
    try:
        kept = json.loads(record.read_text())
        rows = tuple((Place(**place), int(number)) for place, number in kept["descriptors"])
        return Holder(int(kept["pid"]), int(kept["begun"]), rows)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def end(record: Path) -> None:
    """Ends whoever holds for this record, also one whose maker died before it wrote it down. Idempotent."""
    holder = read(record)
    record.unlink(missing_ok=True)
    for pid in {*_holders(record), *([holder.pid] if holder else [])}:
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                known = holder is not None and (pid, begun_at(pid)) == (holder.pid, holder.begun)
                if known or _holds(pid, record):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    select.select([pidfd], [], [], _END_S)  # till then its addresses are in use
                    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            except ChildProcessError:
                pass  # a child of the process before us: init buries it
            finally:
                os.close(pidfd)


def _holders(record: Path) -> list[int]:
    """All that hold for this record, written down or not."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _holds(int(path.name), record)]


def _holds(pid: int, record: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes() == f"{_OWNER}={record}\0".encode()
    except OSError:
        return False


def begun_at(pid: int) -> int:
    """When a process began, in ticks since the machine came up; 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0
