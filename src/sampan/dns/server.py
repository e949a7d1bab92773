"""The DNS server: sockets in, answers out.

Everything runs on the event loop. A UDP question about the zone is answered within the reading callback; only
those that have to be forwarded become tasks, a bounded number of them. Nothing is read before the zone is
whole: until then questions wait in the sockets, and no name is denied that is merely not known yet.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sampan.api.prometheus import Family
from sampan.client.informers import Informers
from sampan.dns import config, loops
from sampan.dns.config import Config, Kubernetes
from sampan.dns.corefile import CorefileError
from sampan.dns.feed import Feed
from sampan.dns.message import build_failure
from sampan.dns.metrics import Metrics
from sampan.dns.records import Naming
from sampan.dns.responder import Asker, Outcome, Responder
from sampan.dns.stream import Streams
from sampan.dns.upstream import Upstream
from sampan.dns.wire import SERVFAIL
from sampan.dns.zone import Zone, ZonePlan

log = logging.getLogger(__name__)

WAITING_MOST = 4096
"""Questions by UDP that wait for others' answers."""
BATCH = 128
DATAGRAM_BYTES = 4096
RECEIVE_BYTES = 4 << 20
"""What may wait to be read: a burst of questions to forward must not push those out that can be answered."""
_SO_RCVBUFFORCE = 33


@dataclass(frozen=True, slots=True)
class Identity:
    """What the configuration does not change. `servers`: the addresses by which it is known; `ranges`: the
    cluster's networks, whose reverse names nobody else can know."""

    domain: str = "cluster.local"
    servers: Sequence[str] = ()
    ranges: Sequence[str] = ()
    version: str = ""


class DnsServer:
    """Serves the cluster's names to whoever reaches the sockets, and the rest as its configuration says.

    `udp` and `tcp` are bound by the caller (UDP to the exact address, or replies would leave from another);
    they are closed when `run` ends. `own`: further addresses that are never forwarded to.
    """

    def __init__(
        self,
        informers: Informers,
        udp: Sequence[socket.socket],
        tcp: Sequence[socket.socket],
        identity: Identity | None = None,
        *,
        own: Collection[str] = (),
    ) -> None:
        self.identity = identity or Identity()
        self.loop_found: Callable[[Upstream], None] = lambda server: None
        """Told of a server that asks us what we ask it."""
        self.metrics = Metrics()
        self.ready = asyncio.Event()
        self._udp, self._tcp = udp, tcp
        self._own = frozenset((*self.identity.servers, *own))
        self._waiting: set[asyncio.Task[None]] = set()
        self._probing: asyncio.Task[None] | None = None
        self._streams = Streams(self._respond)
        self._feed = Feed(informers, Zone())
        self._responder = self._compose(self._default())
        self._feed.turn_to(self._responder.zone)

    def configure(self, text: str, files: Mapping[str, str] | None = None) -> None:
        """From now on as this Corefile says (`files`: what lies beside it); an empty one is the default.

        Raises CorefileError.
        """
        try:
            wanted = config.read(text, self.identity.domain, files) if text.strip() else self._default()
        except CorefileError:
            self.metrics.reloads_failed += 1
            raise
        before, self._responder = self._responder, self._compose(wanted)
        self._feed.turn_to(self._responder.zone)
        before.retire()
        if self.ready.is_set():
            self._probe()

    def families(self) -> list[Family]:
        """Everything counted so far."""
        self._responder.count_kept()
        return list(self.metrics.families(self._responder.forwarders, self.identity.version))

    async def run(self) -> None:
        for sock in self._udp:
            sock.setblocking(False)
            _make_room(sock)
        await self._feed.whole()
        loop = asyncio.get_running_loop()
        for sock in self._udp:
            loop.add_reader(sock, self._read_datagrams, sock, int(sock.family == socket.AF_INET6))
        servers = [await loop.create_server(self._streams.new, sock=sock) for sock in self._tcp]
        self.ready.set()
        self._probe()
        try:
            await asyncio.Event().wait()
        finally:
            self.ready.clear()
            for sock in self._udp:
                loop.remove_reader(sock)
                sock.close()
            for server in servers:
                server.close()
            self._streams.close()
            self._responder.close()
            for task in (*self._waiting, *([self._probing] if self._probing else [])):
                task.cancel()

    def _default(self) -> Config:
        return config.read(config.default_corefile(self.identity.domain), self.identity.domain)

    def _compose(self, wanted: Config) -> Responder:
        kubernetes = wanted.kubernetes or Kubernetes()
        if kubernetes.pods == "verified":
            self._feed.follow_pods()
        plan = ZonePlan(
            Naming(self.identity.domain, kubernetes.ttl_s, kubernetes.by_pod_name),
            self.identity.servers,
            self.identity.ranges,
            pods=kubernetes.pods != "disabled",
            has_pod=self._feed.has_pod if kubernetes.pods == "verified" else None,
        )
        return Responder(wanted, Zone(plan), self.metrics, own=self._own)

    def _read_datagrams(self, sock: socket.socket, family: int) -> None:
        """Answers what has come, up to a batch: the loop has others to serve."""
        receive, send, kept = sock.recvfrom, sock.sendto, self._responder.answers.kept
        begun_s, hits = time.perf_counter(), 0
        for _ in range(BATCH):
            try:
                packet, sender = receive(DATAGRAM_BYTES)
                entry = kept.get(packet[2:])
                if entry is None:
                    hits += self._answer(packet, sock, sender, family)
                    continue
                send(packet[:2] + entry.wire, sender)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                # A port-unreachable that came back for an earlier answer; the socket is fine.
                log.debug("dns: %s", error)
                continue
            hits += 1
            entry.asked[family] += 1
            if entry.turn is not None:
                entry.wire = entry.turn()
        if hits:
            self.metrics.took((time.perf_counter() - begun_s) / hits, hits)

    def _answer(self, packet: bytes, sock: socket.socket, sender: Any, family: int) -> bool:
        """Whether the answer was one that is kept, but for the spelling."""
        spelt = self._responder.answers.find_spelt(packet)
        if spelt is not None:
            entry, wire = spelt
            entry.asked[family] += 1
            if entry.turn is not None:
                entry.wire = entry.turn()
            _send(sock, packet[:2] + wire, sender)
            return True
        outcome = self._respond(packet, Asker(sender, "udp", family))
        if isinstance(outcome, bytes):
            _send(sock, outcome, sender)
        elif outcome is not None:
            task = asyncio.ensure_future(self._answer_later(outcome, sock, sender))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
        return False

    def _respond(self, packet: bytes, asker: Asker) -> Outcome:
        """A bug in one answer is that answer's alone."""
        try:
            outcome = self._responder.respond(packet, asker)
        except Exception:
            log.exception("dns: no answer to %s", packet.hex())
            return build_failure(packet, SERVFAIL)
        if outcome is None or isinstance(outcome, bytes):
            return outcome
        if len(self._waiting) >= WAITING_MOST and asker.proto == "udp":
            outcome.close()
            return build_failure(packet, SERVFAIL)
        return self._guarded(outcome, packet)

    async def _guarded(self, outcome: Awaitable[bytes], packet: bytes) -> bytes:
        try:
            return await outcome
        except Exception:
            log.exception("dns: no answer to %s", packet.hex())
            return build_failure(packet, SERVFAIL)

    async def _answer_later(self, outcome: Awaitable[bytes], sock: socket.socket, sender: Any) -> None:
        _send(sock, await outcome, sender)

    def _probe(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        probing = loops.probe(self._responder, lambda server: self.loop_found(server))
        self._probing = asyncio.create_task(probing, name="dns-loops")


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
