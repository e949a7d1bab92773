"""The kernel's nf_tables of one network namespace; keeps `contract.Nft`.

Changes go out on the event loop: the kernel does all of the work inside `send`, tens of microseconds for an
endpoint, and the verdict is in the queue when it returns. Listings read in a thread, on their own socket.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Mapping, Sequence

from sampan.proxy import nfnetlink, ruleset, wire
from sampan.proxy.contract import NftFault, NftLoader, SocketFactory, TableDrifted
from sampan.proxy.ruleset import FamilyConstants
from sampan.proxy.table import Change, Element, Fields, Table, diff

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SEND_BYTES = 64 << 20
_RECEIVE_BYTES = 1 << 18
_LIST_ATTEMPTS = 5
_LIST_TIMEOUT_S = 10.0
_DRIFT = frozenset({errno.EEXIST, errno.ENOENT, errno.EBUSY})


class KernelNft:
    def __init__(
        self, sockets: SocketFactory, loader: NftLoader, families: Sequence[FamilyConstants]
    ) -> None:
        self._sockets = sockets
        self._load = loader
        self._families = tuple(families)
        self._socket: socket.socket | None = None
        self._sequence = 1
        self._outdated = False
        """Other rules than ours serve traffic now: they must not go before ours are complete."""

    async def open(self) -> Table | None:
        self._socket = await self._open_socket()
        if self._chain_exists(self._socket, ruleset.version_chain(self._families)):
            return await self.listing()
        self._outdated = self._chain_exists(self._socket, ruleset.ENTRY_CHAIN)
        return None

    async def replace(self, table: Table) -> None:
        if self._outdated:
            # Text is slow for thousands of elements, but it comes in one transaction with the rules.
            await self._load(ruleset.text(self._families, table))
            self._outdated = False
        else:
            await self._load(ruleset.text(self._families))
            self.apply(diff(ruleset.fixed_elements(), table))

    def apply(self, change: Change) -> None:
        if not change:
            return
        assert self._socket is not None, "apply before open"
        batch, last = wire.transaction(change, self._sequence)
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

    async def listing(self) -> Table:
        sock = await self._open_socket()
        sock.settimeout(_LIST_TIMEOUT_S)
        names = [name for name in wire.SHAPES if name[-1] not in "46" or name[-1] in self._suffixes()]
        try:
            return await asyncio.to_thread(_list_all, sock, names)
        except OSError as error:
            raise NftFault(f"cannot list the table: {error}") from error
        finally:
            sock.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

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
        found.update(_list_set(sock, name, sequence))
    return found


def _list_set(sock: socket.socket, name: str, sequence: int) -> Mapping[Element, Fields]:
    for _ in range(_LIST_ATTEMPTS):
        sock.send(wire.list_elements(name, sequence))
        found: Table = {}
        interrupted = done = False
        while not done:
            for reply in nfnetlink.replies(sock.recv(_RECEIVE_BYTES)):
                interrupted |= reply.interrupted
                if reply.error:
                    raise OSError(reply.error, f"{name}: {os.strerror(reply.error)}")
                done |= reply.kind == nfnetlink.NLMSG_DONE
                found.update(wire.elements(reply))
        if not interrupted:
            return found
    raise OSError(errno.EINTR, f"{name} changed during each of {_LIST_ATTEMPTS} listings")


def _size(change: Change) -> int:
    return len(change.delete) + len(change.add)
