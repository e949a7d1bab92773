"""One table of nf_tables in one network namespace: transactions sent and judged, sets listed.

Changes go out on the event loop: the kernel does all of the work inside `send`, tens of microseconds for an
endpoint, and the verdict is in the queue when it returns. Listings read in a thread, on their own socket.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

from sampan.proxy import nfnetlink
from sampan.proxy.contract import NftFault, SocketFactory, TableDrifted
from sampan.proxy.nfnetlink import Reply

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SEND_BYTES = 64 << 20
_RECEIVE_BYTES = 1 << 18
_LIST_ATTEMPTS = 5
_LIST_TIMEOUT_S = 10.0
_DRIFT = frozenset({errno.EEXIST, errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY})

T = TypeVar("T")
Listing: TypeAlias = Iterator[tuple[str, list[Reply]]]
"""Sets by name, each with all parts of its listing."""


class TableLink:
    """`table` is the table's name; of all methods only those that are async may wait."""

    def __init__(self, sockets: SocketFactory, table: str) -> None:
        self._sockets, self._table = sockets, table
        self._socket: socket.socket | None = None
        self._sequence = 1

    async def open(self) -> None:
        self._socket = await self._open_socket()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def has_chain(self, name: str) -> bool:
        self._sequence += 1
        errors = self._exchange(nfnetlink.get_chain(self._table, name, self._sequence), self._sequence)
        if errors and set(errors) != {errno.ENOENT}:
            raise NftFault(f"cannot look at the table {self._table}: {os.strerror(errors[0])}")
        return not errors

    def commit(self, build: Callable[[int], tuple[bytes, int]], size: int) -> None:
        """Sends what `build` makes, of a first sequence number: a batch, and the number of its last message.

        `size`: how many changes to speak of. Raises NftFault; TableDrifted when the kernel's table is not as
        it was thought to be.
        """
        batch, last = build(self._sequence)
        self._sequence = (last + 2) & 0x7FFFFFFF
        try:
            errors = self._exchange(batch, last)
        except OSError as error:
            # ENOBUFS: too many refusals for the queue. EAGAIN: no verdict. Either way, look at what is there.
            raise TableDrifted(f"nf_tables gave no verdict: {error}") from error
        if errors:
            kind = TableDrifted if _DRIFT.issuperset(errors) else NftFault
            listed = ", ".join(sorted({os.strerror(number) for number in errors}))
            raise kind(f"nf_tables refused a transaction of {size} changes to {self._table}: {listed}")

    async def listed(self, names: Iterable[str], take: Callable[[Listing], T]) -> T:
        """What `take` makes, in a thread, of the listings of these sets. Raises NftFault."""
        sock = await self._open_socket()
        sock.settimeout(_LIST_TIMEOUT_S)
        sets = tuple(names)

        def listing() -> Listing:
            for sequence, name in enumerate(sets, 1):
                yield name, self._list(sock, name, sequence)

        try:
            return await asyncio.to_thread(take, listing())
        except OSError as error:
            raise NftFault(f"cannot list the table {self._table}: {error}") from error
        finally:
            sock.close()

    def _exchange(self, request: bytes, last: int) -> list[int]:
        """errnos of all refused messages up to the acknowledgement of message `last`; empty: done."""
        assert self._socket is not None, "used before open"
        self._socket.send(request)
        errors = []
        while True:
            for reply in nfnetlink.replies(self._socket.recv(_RECEIVE_BYTES)):
                if reply.kind == nfnetlink.NLMSG_ERROR:
                    if reply.error:
                        errors.append(reply.error)
                    if reply.sequence >= last:
                        return errors

    async def _open_socket(self) -> socket.socket:
        sock = await self._sockets(socket.AF_NETLINK, socket.SOCK_RAW, nfnetlink.NETLINK_NETFILTER)
        for option, plain in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, _SEND_BYTES)
            except PermissionError:
                # In a user namespace the limit is the host's; then it is as much as it allows.
                sock.setsockopt(socket.SOL_SOCKET, plain, _SEND_BYTES)
        return sock

    def _list(self, sock: socket.socket, name: str, sequence: int) -> list[Reply]:
        """All parts of the listing of one set; none if an older table does not have it."""
        for _ in range(_LIST_ATTEMPTS):
            sock.send(nfnetlink.list_elements(self._table, name, sequence))
            found: list[Reply] = []
            interrupted = done = False
            while not done:
                for reply in nfnetlink.replies(sock.recv(_RECEIVE_BYTES)):
                    interrupted |= reply.interrupted
                    if reply.error == errno.ENOENT:
                        return []
                    if reply.error:
                        raise OSError(reply.error, f"{name}: {os.strerror(reply.error)}")
                    done |= reply.kind == nfnetlink.NLMSG_DONE
                    found.append(reply)
            if not interrupted:
                return found
        raise OSError(errno.EINTR, f"{name} changed during each of {_LIST_ATTEMPTS} listings")
