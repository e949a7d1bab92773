"""A Pod network of numbers only: keeps the contract, touches nothing."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network

from sampan.kubelet.network.contract import NetworkFault, PodAddresses


class FakeNetwork:
    """Set `fault` to make the next attach fail with that text."""

    def __init__(self, pod_cidr: str = "10.244.0.0/24", node_ip: str = "100.64.0.2") -> None:
        self.node_ips: tuple[str, ...] = (node_ip,)
        self.attached: dict[str, tuple[str, PodAddresses]] = {}
        self.fault = ""
        self._free = [str(address) for address in IPv4Network(pod_cidr).hosts()][1:]

    async def open(self) -> None:
        return

    async def attach(self, uid: str, netns: str) -> PodAddresses:
        if self.fault:
            fault, self.fault = self.fault, ""
            raise NetworkFault(fault)
        if uid not in self.attached:
            if not self._free:
                raise NetworkFault("no free Pod address")
            self.attached[uid] = (netns, PodAddresses((self._free.pop(0),)))
        return self.attached[uid][1]

    async def detach(self, uid: str) -> None:
        held = self.attached.pop(uid, None)
        if held is not None:
            self._free.extend(held[1].ips)

    def addresses(self, uid: str) -> PodAddresses | None:
        held = self.attached.get(uid)
        return held[1] if held else None


class Here:
    """Keeps contract.Namespace for the namespace that the test itself runs in."""

    path = "/proc/self/ns/net"

    async def sockets(self, family: int, kind: int, count: int) -> list[socket.socket]:
        return [await self.socket(family, kind) for _ in range(count)]

    async def socket(self, family: int, kind: int, proto: int = 0) -> socket.socket:
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        return sock
