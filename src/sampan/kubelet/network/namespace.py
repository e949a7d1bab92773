"""Network namespaces pinned by a bind mount, and sockets inside them.

A thread, not a process, is what the kernel puts into a namespace. So:
- `create` runs in a thread of its own that unshares, pins and ends. The event loop never leaves the host.
- `Traveller` owns one thread that moves between namespaces on request. All work in foreign namespaces is
  queued to it, so nothing here interleaves. A socket stays where it was made: once handed out, it is used
  from the event loop like any other.
Every socket is checked against the inode of the namespace it was asked for before anyone may use it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from socket import socket as Socket
from typing import TypeVar

from sampan.kubelet.network.contract import NetworkFault

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MNT_DETACH = 2
_SIOCGSKNS = 0x894C
"""ioctl: a descriptor of the namespace that a socket lives in (linux/sockios.h)."""
_HERE = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def is_pinned(path: Path) -> bool:
    """Whether a namespace is mounted at `path`."""
    try:
        return path.stat().st_dev == Path(_HERE).stat().st_dev
    except FileNotFoundError:
        return False


def create(path: Path) -> None:
    """Makes a new network namespace and pins it at `path`. Blocks; leaves the caller's namespace alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    failure: list[OSError] = []
    thread = threading.Thread(target=_unshare_and_pin, args=(path, failure), name="new-namespace")
    thread.start()
    thread.join()
    if failure:
        path.unlink(missing_ok=True)
        raise NetworkFault(f"cannot create a network namespace at {path}: {failure[0]}") from failure[0]


def _unshare_and_pin(path: Path, failure: list[OSError]) -> None:
    try:
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        _check(_libc.mount(_HERE.encode(), bytes(path), None, _MS_BIND, None), "mount")
    except OSError as error:
        failure.append(error)


def unpin(path: Path) -> None:
    """Takes the mount and its file away; the namespace ends with its last user. Idempotent."""
    while is_pinned(path):
        _check(_libc.umount2(bytes(path), _MNT_DETACH), f"unmount {path}")
    path.unlink(missing_ok=True)


class Traveller:
    """One thread that goes into namespaces to work there."""

    def __init__(self, name: str = "traveller") -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._inode = 0
        """The namespace the thread is in; 0 before its first journey. Touched by that thread alone."""

    async def run(self, path: str | Path, work: Callable[[], T]) -> T:
        """What `work` returns when called inside the namespace at `path`. NetworkFault when there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work_at, path, work)

    async def socket(self, path: str | Path, family: int, kind: int, proto: int = 0) -> Socket:
        """A non-blocking socket that lives in the namespace at `path`."""
        return await self.run(path, lambda: self._open_socket(family, kind, proto))

    async def sockets(self, path: str | Path, family: int, kind: int, count: int) -> list[Socket]:
        """As many, for one journey."""
        return await self.run(path, lambda: self._open_sockets(family, kind, count))

    def fence(self, sock: Socket) -> None:
        """Raises unless `sock` lives where the thread is now. For `work` that opens sockets itself."""
        descriptor = ioctl(sock.fileno(), _SIOCGSKNS)
        try:
            found = os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)
        if found != self._inode:
            sock.close()
            raise NetworkFault(f"a socket for namespace {self._inode} was opened in {found}")

    @contextmanager
    def detour(self, path: str | Path) -> Iterator[None]:
        """For `work` that needs another namespace for a moment: go there, and come back."""
        back = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter(path)
            try:
                yield
            finally:
                self._enter(f"/proc/self/fd/{back}")
        finally:
            os.close(back)

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    def _work_at(self, path: str | Path, work: Callable[[], T]) -> T:
        self._enter(path)
        return work()

    def _enter(self, path: str | Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NetworkFault(f"no network namespace at {path}: {error.strerror}") from error
        try:
            inode = os.fstat(descriptor).st_ino
            if inode != self._inode:
                _check(_libc.setns(descriptor, _CLONE_NEWNET), f"enter the network namespace at {path}")
                self._inode = inode
        finally:
            os.close(descriptor)

    def _open_socket(self, family: int, kind: int, proto: int) -> Socket:
        sock = Socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, proto)
        self.fence(sock)
        return sock

    def _open_sockets(self, family: int, kind: int, count: int) -> list[Socket]:
        made: list[Socket] = []
        try:
            made.extend(self._open_socket(family, kind, 0) for _ in range(count))
        except OSError:
            if not made:
                raise
        return made


class PinnedNamespace:
    """Keeps `contract.Namespace` for any namespace at a path: a Pod's, say."""

    def __init__(self, path: str, traveller: Traveller) -> None:
        self.path = path
        self._traveller = traveller

    async def socket(self, family: int, kind: int, proto: int = 0) -> Socket:
        return await self._traveller.socket(self.path, family, kind, proto)

    async def sockets(self, family: int, kind: int, count: int) -> list[Socket]:
        return await self._traveller.sockets(self.path, family, kind, count)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
