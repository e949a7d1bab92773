"""The DNS server: sockets in, answers out.

Everything runs on the event loop. UDP questions about the zone are answered within the reading callback;
only questions that have to be forwarded become tasks, a bounded number of them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Sequence
from typing import Any

from sampan.api.objects import Obj, key_of, name_of
from sampan.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from sampan.client.informers import Informers
from sampan.dns.forward import Forwarder, Unanswered
from sampan.dns.wire import (
    CLASS_ANY,
    CLASS_IN,
    NOERROR,
    REFUSED,
    SERVFAIL,
    Malformed,
    Query,
    Record,
    build_answer,
    build_failure,
    encode_name,
    parse_query,
    read_records,
)
from sampan.dns.zone import Answer, Zone

log = logging.getLogger(__name__)

MAX_FORWARDED = 512
BATCH = 64
TCP_IDLE_S = 10.0
RECEIVE_BYTES = 4 << 20
"""What may wait to be read: a burst of questions to forward must not push those out that can be answered."""
_SO_RCVBUFFORCE = 33


class DnsServer:
    """Serves `zone` to whoever reaches the sockets, and keeps it current from the informers.

    `udp` and `tcp` are bound by the caller (UDP to the exact address, or replies would leave from another);
    they are closed when `run` ends.
    """

    def __init__(
        self,
        informers: Informers,
        udp: Sequence[socket.socket],
        tcp: Sequence[socket.socket],
        forwarder: Forwarder,
        *,
        domain: str = "cluster.local",
    ) -> None:
        self.zone = Zone(domain)
        self._udp, self._tcp, self._forwarder = udp, tcp, forwarder
        self._informers = informers
        self._forwarded: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        self._follow()
        loop = asyncio.get_running_loop()
        servers = [await asyncio.start_server(self._serve_stream, sock=sock) for sock in self._tcp]
        for sock in self._udp:
            sock.setblocking(False)
            _make_room(sock)
            loop.add_reader(sock, self._read_datagrams, sock)
        try:
            await asyncio.Event().wait()
        finally:
            for sock in self._udp:
                loop.remove_reader(sock)
                sock.close()
            for server in servers:
                server.close()
            for task in self._forwarded:
                task.cancel()

    def _follow(self) -> None:
        self._informers.informer(SERVICES).subscribe(
            lambda old, new: self.zone.set_service(key_of(_either(old, new)), new)
        )
        self._informers.informer(ENDPOINT_SLICES).subscribe(
            lambda old, new: self.zone.set_slice(key_of(_either(old, new)), old, new)
        )
        self._informers.informer(NAMESPACES).subscribe(self._namespace_changed)

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        if (old is None) != (new is None):
            self.zone.set_namespace(name_of(_either(old, new)), present=new is not None)

    def _read_datagrams(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                packet, sender = sock.recvfrom(4096)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # A port-unreachable that came back for an earlier answer; the socket is fine.
                log.debug("dns: %s", error)
                continue
            reply = self._answer_or_forward(packet, sock, sender)
            if reply is not None:
                _send(sock, reply, sender)

    def _answer_or_forward(self, packet: bytes, sock: socket.socket, sender: Any) -> bytes | None:
        try:
            query = parse_query(packet)
        except Malformed as error:
            return None if error.rcode is None else build_failure(packet, error.rcode)
        answer = self._local(query)
        if answer is not None and not answer.leads_to:
            return _encode(query, answer, limit=query.payload)
        if len(self._forwarded) >= MAX_FORWARDED:
            return build_answer(query, SERVFAIL, authoritative=False)
        task = asyncio.create_task(self._forward_datagram(query, answer, packet, sock, sender))
        self._forwarded.add(task)
        task.add_done_callback(self._forwarded.discard)
        return None

    async def _forward_datagram(
        self, query: Query, answer: Answer | None, packet: bytes, sock: socket.socket, sender: Any
    ) -> None:
        _send(sock, await self._remote(query, answer, packet, tcp=False), sender)

    def _local(self, query: Query) -> Answer | None:
        """The zone's answer, or None for a question that is not ours."""
        if query.cls not in (CLASS_IN, CLASS_ANY):
            return Answer(REFUSED)
        return self.zone.lookup(query.name, query.type) if self.zone.holds(query.name) else None

    async def _remote(self, query: Query, answer: Answer | None, packet: bytes, *, tcp: bool) -> bytes:
        """Asks the host's resolvers: the question itself, or where a CNAME of ours leads."""
        if answer is None:
            try:
                return await self._forwarder.ask(packet, tcp=tcp)
            except Unanswered:
                return build_answer(query, SERVFAIL, authoritative=False)
        # The target is looked up by the asker when it cannot be had here: a bare CNAME is a full answer.
        question = encode_name(answer.leads_to) + struct.pack("!HH", query.type, CLASS_IN)
        header = struct.pack("!HHHHHH", query.id, 0x0100, 1, 0, 0, 0)
        limit = None if tcp else query.payload
        try:
            reply = await self._forwarder.ask(header + question, tcp=True)
        except Unanswered:
            return _encode(query, answer, limit=limit)
        return _graft(query, answer, reply, limit)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    packet = await reader.readexactly(length)
                reply = await self._answer_stream(packet)
                if reply is None:
                    return
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _answer_stream(self, packet: bytes) -> bytes | None:
        try:
            query = parse_query(packet)
        except Malformed as error:
            return None if error.rcode is None else build_failure(packet, error.rcode)
        answer = self._local(query)
        if answer is not None and not answer.leads_to:
            return _encode(query, answer, limit=None)
        return await self._remote(query, answer, packet, tcp=True)


def _encode(query: Query, answer: Answer, *, limit: int | None) -> bytes:
    return build_answer(query, answer.rcode, answer.answers, answer.authority, answer.additional, limit=limit)


def _graft(query: Query, answer: Answer, reply: bytes, limit: int | None) -> bytes:
    """Our CNAME, then the addresses somebody else gave for its target (aliases between them left out)."""
    try:
        found = read_records(reply, query.type)
    except Malformed:
        found = []
    records = (Record(answer.leads_to, query.type, ttl_s, data) for ttl_s, data in found)
    return _encode(query, Answer(NOERROR, (*answer.answers, *records)), limit=limit)


def _make_room(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)


def _send(sock: socket.socket, reply: bytes, sender: Any) -> None:
    try:
        sock.sendto(reply, sender)
    except OSError as error:
        # The asker has gone, or its queue is full; it will ask again.
        log.debug("dns: answer to %s lost: %s", sender, error)


def _either(old: Obj | None, new: Obj | None) -> Obj:
    return new if new is not None else old  # type: ignore[return-value]
