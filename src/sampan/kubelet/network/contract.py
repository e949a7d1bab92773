"""What the kubelet needs of the network: an address for a sandbox, and sockets inside namespaces."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol


class NetworkFault(Exception):
    """The network could not be set up; the text is fit for an Event."""


@dataclass(frozen=True, slots=True)
class PodAddresses:
    """A Pod's addresses, the primary family first."""

    ips: tuple[str, ...]


class PodNetwork(Protocol):
    """Survives a restart of this process: who held which address is read back from disk in `open`."""

    node_ips: tuple[str, ...]
    """The node's own addresses, primary family first: what hostNetwork Pods report."""

    async def open(self) -> None: ...

    async def attach(self, uid: str, netns: str) -> PodAddresses:
        """Gives the namespace at path `netns` an eth0, an address, a default route. Idempotent per uid."""

    async def detach(self, uid: str) -> None:
        """Frees the address; the veth goes with its namespace. Idempotent."""

    def addresses(self, uid: str) -> PodAddresses | None: ...


class Namespace(Protocol):
    """A network namespace to open sockets in, without leaving one's own."""

    path: str

    async def sockets(
        self, family: socket.AddressFamily, kind: socket.SocketKind, count: int
    ) -> list[socket.socket]:
        """So many of what `socket` gives one of, in one journey of the helper thread."""

    async def socket(
        self, family: socket.AddressFamily, kind: socket.SocketKind, proto: int = 0
    ) -> socket.socket:
        """A non-blocking socket that lives in the namespace."""
