"""The kernel's nf_tables of one network namespace; keeps `contract.Nft`.

Changes go out on the event loop: the kernel does all of the work inside `send`, tens of microseconds for an
endpoint, and the verdict is in the queue when it returns. Listings read in a thread, on their own socket.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from sampan.proxy import affinity, nfnetlink, ruleset, wire
from sampan.proxy.affinity import Client
from sampan.proxy.contract import NftFault, NftLoader, SocketFactory, TableDrifted
from sampan.proxy.nfnetlink import Reply
from sampan.proxy.ruleset import FamilyConstants
from sampan.proxy.table import Change, Table, diff

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SEND_BYTES = 64 << 20
_RECEIVE_BYTES = 1 << 18
_LIST_ATTEMPTS = 5
_LIST_TIMEOUT_S = 10.0
_DRIFT = frozenset({errno.EEXIST, errno.ENOENT, errno.EBUSY})


T = TypeVar("T")


class KernelNft:
    def __init__(
        self, sockets: SocketFactory, loader: NftLoader, families: Sequence[FamilyConstants]
    ) -> None:
        self._sockets = sockets
        self._load = loader
        self._families = tuple(families)
        self._socket: socket.socket | None = None
        self._sequence = 1
        self.outdated = False

    async def open(self) -> Table | None:
        self._socket = await self._open_socket()
        if not self._chain_exists(self._socket, ruleset.ENTRY_CHAIN):
            return None
        self.outdated = not self._chain_exists(self._socket, ruleset.version_chain(self._families))
        return await self.listing()

    async def replace(self, table: Table) -> None:
        if self.outdated:
            # Text is slow for thousands of elements, but it comes in one transaction with the rules. They
            # serve traffic now: they must not go before ours are complete.
            clients = await self._in_thread(_list_clients, [f"aff{suffix}" for suffix in self._suffixes()])
            await self._load(ruleset.text(self._families, table, affinity.clients_text(clients)))
            self.outdated = False
        else:
            await self._load(ruleset.text(self._families))
            self.apply(diff(ruleset.fixed_elements(), table))

    def apply(self, change: Change) -> None:
        if not change:
            return
        assert self._socket is not None, "apply before open"
        batch, last = wire.transaction(change, self._sequence, self._versions())
        self._sequence = (last + 2) & 0x7FFFFFFF
        try:
            self._socket.send(batch)
            errors = _verdict(self._socket, last)
        except OSError as error:
            # ENOBUFS: too many refusals for the queue. EAGAIN: no verdict. Either way, look at what is there.
            raise TableDrifted(f"nf_tables gave no verdict: {error}") from error
        if errors:
            kind = TableDrifted if _DRIFT.issuperset(errors) else NftFault
            listed = ", ".join(sorted({os.strerror(number) for number in errors}))
            raise kind(f"nf_tables refused a transaction of {_size(change)} changes: {listed}")

    async def guard(self, networks: Sequence[str]) -> None:
        await self._load(ruleset.guards_text(self._families, networks))

    async def listing(self) -> Table:
        names = [name for name in wire.SHAPES if name[-1] not in "46" or name[-1] in self._suffixes()]
        return await self._in_thread(_list_all, names)

    async def _in_thread(self, read: Callable[[socket.socket, Sequence[str]], T], names: Sequence[str]) -> T:
        """Reads these sets on a socket of its own."""
        sock = await self._open_socket()
        sock.settimeout(_LIST_TIMEOUT_S)
        try:
            return await asyncio.to_thread(read, sock, names)
        except OSError as error:
            raise NftFault(f"cannot list the table: {error}") from error
        finally:
            sock.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _versions(self) -> list[int]:
        return [family.version for family in self._families]

    def _suffixes(self) -> set[str]:
        return {family.suffix for family in self._families}

    async def _open_socket(self) -> socket.socket:
        sock = await self._sockets(socket.AF_NETLINK, socket.SOCK_RAW, nfnetlink.NETLINK_NETFILTER)
        for option, plain in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, _SEND_BYTES)
            except PermissionError:
                # In a user namespace the limit is the host's; then it is as much as it allows.
                sock.setsockopt(socket.SOL_SOCKET, plain, _SEND_BYTES)
        return sock

    def _chain_exists(self, sock: socket.socket, name: str) -> bool:
        self._sequence += 1
        sock.send(wire.get_chain(name, self._sequence))
        errors = _verdict(sock, self._sequence)
        if errors and set(errors) != {errno.ENOENT}:
            raise NftFault(f"cannot look at the table: {os.strerror(errors[0])}")
        return not errors


def _verdict(sock: socket.socket, last: int) -> list[int]:
    """errnos of all refused messages up to the acknowledgement of message `last`; empty: done."""
    errors = []
    while True:
        for reply in nfnetlink.replies(sock.recv(_RECEIVE_BYTES)):
            if reply.kind != nfnetlink.NLMSG_ERROR:
                continue
            if reply.error:
                errors.append(reply.error)
            if reply.sequence >= last:
                return errors


def _list_all(sock: socket.socket, names: Sequence[str]) -> Table:
    found: Table = {}
    for sequence, name in enumerate(names, 1):
        for reply in _list_set(sock, name, sequence):
            found.update(wire.elements(reply))
    return found


def _list_clients(sock: socket.socket, names: Sequence[str]) -> list[Client]:
    return [
        client
        for sequence, name in enumerate(names, 1)
        for reply in _list_set(sock, name, sequence)
        for client in wire.clients(reply)
    ]


def _list_set(sock: socket.socket, name: str, sequence: int) -> list[Reply]:
    """All parts of the listing of one set; none if an older table does not have it."""
    for _ in range(_LIST_ATTEMPTS):
        sock.send(wire.list_elements(name, sequence))
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


def _size(change: Change) -> int:
    return len(change.delete) + len(change.add)
