"""Questions by hand, answers taken apart, and a resolver elsewhere that a test scripts."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from sampan.dns import wire
from sampan.dns.message import build_answer
from sampan.dns.question import Query, parse_query
from sampan.dns.reply import answer_records, parse_reply
from sampan.dns.wire import Record

Script = Callable[[Query, bytes], "bytes | list[bytes] | None"]


def question(name: str, kind: int = wire.A, *, ident: int = 7, opt: bytes = b"", cls: int = 1) -> bytes:
    """A packet as a resolver sends it; letters as they are."""
    labels = b"".join(bytes((len(label),)) + label.encode("latin-1") for label in name.split(".") if label)
    header = struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, int(bool(opt)))
    return header + labels + b"\x00" + struct.pack("!HH", kind, cls) + opt


def edns(payload: int = 4096, *, version: int = 0, do: bool = False, options: bytes = b"") -> bytes:
    ttl = version << 16 | (0x8000 if do else 0)
    return b"\x00" + struct.pack("!HHIH", wire.OPT, payload, ttl, len(options)) + options


def query(name: str, kind: int = wire.A, **more: bytes) -> Query:
    return parse_query(question(name, kind, **more))  # type: ignore[arg-type]


def rcode(reply: bytes) -> int:
    return reply[3] & 15


def is_cut(reply: bytes) -> bool:
    return bool(reply[2] & 2)


def records(reply: bytes, kind: int | None = None) -> list[Record]:
    return [r for r in answer_records(parse_reply(reply)) if kind in (None, r.type)]


def addresses(reply: bytes) -> list[str]:
    return [".".join(map(str, record.data)) for record in records(reply, wire.A)]


def answered(query_: Query, *ips: str, ttl_s: int = 60) -> bytes:
    """What a resolver says that knows these addresses; NXDOMAIN with a SOA if it knows none."""
    found = [Record(query_.name, *wire.address_data(ip)[:1], ttl_s, wire.address_data(ip)[1]) for ip in ips]
    denied = [Record("example.com", wire.SOA, ttl_s, wire.soa_data("example.com", 1, ttl_s))]
    code = wire.NOERROR if ips else wire.NXDOMAIN
    return build_answer(query_, code, found, [] if ips else denied, authoritative=False)


async def until(look: Callable[[], Awaitable[object]], timeout_s: float = 30) -> None:
    """Returns once `look` finds what it wants."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await look():
                return
            await asyncio.sleep(0.002)


@dataclass
class Elsewhere(asyncio.DatagramProtocol):
    """A resolver on loopback. `script` says what is sent for a question: one packet, several, or nothing."""

    script: Script
    port: int = 0
    asked: list[Query] = field(default_factory=list)
    askers: list[tuple[str, int]] = field(default_factory=list)
    by_tcp: list[Query] = field(default_factory=list)
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = parse_query(data)
        self.asked.append(asked)
        self.askers.append(addr)
        said = self.script(asked, data)
        assert self.transport is not None
        for packet in said if isinstance(said, list) else [said] if said is not None else []:
            self.transport.sendto(packet, addr)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        data = await reader.readexactly(length)
        self.by_tcp.append(parse_query(data))
        said = self.script(self.by_tcp[-1], b"tcp")
        if isinstance(said, bytes):
            writer.write(struct.pack("!H", len(said)) + said)
        writer.close()


@asynccontextmanager
async def elsewhere(script: Script) -> AsyncIterator[Elsewhere]:
    it = Elsewhere(script)
    streams = await asyncio.start_server(it.stream, "127.0.0.1", 0)
    it.port = streams.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: it, local_addr=("127.0.0.1", it.port)
    )
    try:
        yield it
    finally:
        transport.close()
        streams.close()
