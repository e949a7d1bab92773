"""The policies' table in the kernel of one network namespace; keeps `contract.PolicyTable`."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Mapping, Sequence

from sampan.proxy import nfnetlink
from sampan.proxy.contract import NftFault, SocketFactory, TableDrifted
from sampan.proxy.nfnetlink import Reply
from sampan.proxy.policy import wire
from sampan.proxy.policy.contract import Refused
from sampan.proxy.policy.model import DIRECTIONS, Direction
from sampan.proxy.policy.wire import Count
from sampan.proxy.table import PROTOCOLS, Change, Table

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SEND_BYTES = 64 << 20
_RECEIVE_BYTES = 1 << 18
_LIST_ATTEMPTS = 5
_TIMEOUT_S = 10.0
_DRIFT = frozenset({errno.EEXIST, errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY})


class KernelPolicyTable:
    def __init__(self, sockets: SocketFactory) -> None:
        self._sockets = sockets
        self._socket: socket.socket | None = None
        self._sequence = 1

    async def open(self) -> Table | None:
        self._socket = await self._open_socket()
        self._sequence += 1
        errors = self._exchange(wire.get_version(self._sequence), self._sequence)
        if not errors:
            return await self.listing()
        if set(errors) != {errno.ENOENT}:
            raise NftFault(f"cannot look at the table: {os.strerror(errors[0])}")
        return None

    async def replace(self, table: Table) -> None:
        self._send(*wire.replacement(table, self._sequence), len(table))

    def apply(self, change: Change) -> None:
        if change:
            size = len(change.delete) + len(change.add)
            self._send(*wire.transaction(change, self._sequence), size)

    async def listing(self) -> Table:
        found: Table = {}
        for name, parts in await self._listed(wire.SHAPES):
            found.update(wire.elements(name, parts))
        return found

    async def dropped(self) -> Mapping[tuple[Direction, str], Count]:
        return {
            (_direction(name), str(key[0])): count
            for name, parts in await self._listed(wire.COUNTED)
            for key, count in wire.counts(wire.COUNTED[name], parts).items()
        }

    async def refused(self) -> Mapping[Refused, Count]:
        found: dict[Refused, Count] = {}
        for name, parts in await self._listed(wire.LOST):
            for key, count in wire.counts(wire.LOST[name], parts).items():
                source, destination, protocol, port = key
                known = int(port) if protocol in PROTOCOLS else 0
                about = Refused(_direction(name), str(source), str(destination), protocol, known)
                earlier = found.get(about, Count(0, 0))
                found[about] = Count(earlier.packets + count.packets, earlier.bytes + count.bytes)
        return found

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, batch: bytes, last: int, size: int) -> None:
        self._sequence = (last + 2) & 0x7FFFFFFF
        try:
            errors = self._exchange(batch, last)
        except OSError as error:
            # ENOBUFS: too many refusals for the queue. EAGAIN: no verdict. Either way, look at what is there.
            raise TableDrifted(f"nf_tables gave no verdict: {error}") from error
        if errors:
            kind = TableDrifted if _DRIFT.issuperset(errors) else NftFault
            listed = ", ".join(sorted({os.strerror(number) for number in errors}))
            raise kind(f"nf_tables refused a transaction of {size} changes to policies: {listed}")

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

    async def _listed(self, names: Iterable[str]) -> list[tuple[str, list[Reply]]]:
        sock = await self._open_socket()
        sock.settimeout(_TIMEOUT_S)
        try:
            return await asyncio.to_thread(_list_all, sock, tuple(names))
        except OSError as error:
            raise NftFault(f"cannot list the policies' table: {error}") from error
        finally:
            sock.close()


def _direction(set_name: str) -> Direction:
    ingress, egress = DIRECTIONS
    return ingress if set_name[4:6] == "in" else egress


def _list_all(sock: socket.socket, names: Sequence[str]) -> list[tuple[str, list[Reply]]]:
    return [(name, _list_set(sock, name, sequence)) for sequence, name in enumerate(names, 1)]


def _list_set(sock: socket.socket, name: str, sequence: int) -> list[Reply]:
    for _ in range(_LIST_ATTEMPTS):
        sock.send(wire.list_elements(name, sequence))
        found: list[Reply] = []
        interrupted = done = False
        while not done:
            for reply in nfnetlink.replies(sock.recv(_RECEIVE_BYTES)):
                interrupted |= reply.interrupted
                if reply.error:
                    raise OSError(reply.error, f"{name}: {os.strerror(reply.error)}")
                done |= reply.kind == nfnetlink.NLMSG_DONE
                found.append(reply)
        if not interrupted:
            return found
    raise OSError(errno.EINTR, f"{name} changed during each of {_LIST_ATTEMPTS} listings")
