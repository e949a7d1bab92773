"""Every Pod asks every other, by TCP, UDP and SCTP, all at the same time; who got through is the answer.

Whoever is expected to get through is waited for; then a moment is left to those who are not.
This kernel has no SCTP sockets, so an INIT is sent raw, and got through if it arrives whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterable

from harness.lab import Place
from harness.policylab import ANSWERED_WITHIN_S, PolicyLab
from harness.policyoracle import Flow

LEFT_TO_THE_OTHERS_S = 0.08
_SCTP = 132
_SOURCE_PORT = 40000


class Matrix:
    """`ask` answers which of the flows got through. Flows are new each time: no port is used twice."""

    def __init__(self, ward: PolicyLab) -> None:
        self._ward = ward
        self._places = {place.ip: place for place in ward.places.values()}
        self._arrived: set[Flow] = set()
        self._news = asyncio.Event()
        self._rounds = 0
        self._listeners: dict[str, socket.socket] = {}

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Matrix]:
        loop = asyncio.get_running_loop()
        for ip in self._places:
            sock = self._listeners[ip] = await self._raw(ip)
            loop.add_reader(sock, self._hear, ip, sock)
        try:
            yield self
        finally:
            for sock in self._listeners.values():
                loop.remove_reader(sock)
                sock.close()

    async def ask(self, flows: Iterable[Flow], expected: set[Flow]) -> set[Flow]:
        self._rounds += 1
        self._arrived.clear()
        listed = list(flows)
        async with contextlib.AsyncExitStack() as stack:
            tasks = [asyncio.create_task(self._connect(flow)) for flow in listed if flow.protocol == "TCP"]
            for ip in {flow.source for flow in listed}:
                mine = [flow for flow in listed if flow.source == ip]
                await self._send_datagrams(stack, ip, [flow for flow in mine if flow.protocol == "UDP"])
                self._send_inits(ip, [flow for flow in mine if flow.protocol == "SCTP"])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    while not expected <= self._arrived:
                        self._news.clear()
                        await self._news.wait()
            await asyncio.sleep(LEFT_TO_THE_OTHERS_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return set(self._arrived)

    def _note(self, flow: Flow) -> None:
        self._arrived.add(flow)
        self._news.set()

    async def _connect(self, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        with await self._places[flow.source].socket(socket.SOCK_STREAM) as sock:
            await loop.sock_connect(sock, (flow.destination, flow.port))
            if await loop.sock_recv(sock, 100):
                self._note(flow)

    async def _send_datagrams(self, stack: contextlib.AsyncExitStack, ip: str, flows: list[Flow]) -> None:
        """One socket for all: the answer comes from whom it was sent to."""
        loop = asyncio.get_running_loop()
        sock = stack.enter_context(await self._places[ip].socket(socket.SOCK_DGRAM))
        sock.bind((ip, _SOURCE_PORT + self._rounds))  # of no flow that an earlier round established
        asked = {(flow.destination, flow.port): flow for flow in flows}

        def heard() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    flow = asked.get(sock.recvfrom(100)[1])
                    if flow is not None:
                        self._note(flow)

        loop.add_reader(sock, heard)
        stack.callback(loop.remove_reader, sock)
        for address in asked:
            sock.sendto(b"?", address)

    def _send_inits(self, ip: str, flows: list[Flow]) -> None:
        for flow in flows:
            self._listeners[ip].sendto(_init(_SOURCE_PORT + self._rounds, flow.port), (flow.destination, 0))

    async def _raw(self, ip: str) -> socket.socket:
        place: Place = self._places[ip]
        traveller = self._ward.lab.node.traveller
        return await traveller.socket(place.path, socket.AF_INET, socket.SOCK_RAW, _SCTP)

    def _hear(self, ip: str, sock: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (source, _) = sock.recvfrom(2048)
                at = (packet[0] & 15) * 4
                source_port, port = struct.unpack_from(">HH", packet, at)
                if source_port == _SOURCE_PORT + self._rounds:
                    self._note(Flow(source, ip, "SCTP", port))


def _init(source_port: int, port: int) -> bytes:
    """An INIT chunk; conntrack looks at its checksum."""
    chunk = struct.pack(">BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 1)
    bare = struct.pack(">HHI", source_port, port, 0)
    return bare + struct.pack("<I", _crc32c(bare + bytes(4) + chunk)) + chunk


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
