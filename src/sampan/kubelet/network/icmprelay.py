"""Echo requests carried from a node's namespace to the outside: `ping` from a Pod.

The rules of `diversion` have the kernel take them for its own, so a raw socket in the node's namespace hears
them (and what the kernel itself would answer is dropped). Each goes out anew from the host, by an identifier
of ours; what comes back for that goes to the client under the address that it came from: replies, and the
errors of routers on the way (time exceeded, unreachable), so that `traceroute -I` works as well.

The host's raw socket hears all echo replies and errors of the machine, and is open only while there are
flows. Flows live on the event loop, ordered by their last use.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from socket import socket as Socket
from typing import NamedTuple

from sampan.kubelet.network import icmp
from sampan.kubelet.network.contract import Namespace
from sampan.kubelet.network.icmp import KINDS
from sampan.kubelet.network.netlink import Address, Network

log = logging.getLogger(__name__)

REPLY_MARK = 0x6563686F
"""On packets that are ours to send; the kernel's own echo replies have none."""
IDLE_S = 30.0
MOST_FLOWS = 1024
MOST_OF_ONE_CLIENT = 64
_AT_ONCE = 64
_LARGEST = 65535
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ICMP_FILTER = {4: (255, 1), 6: (socket.IPPROTO_ICMPV6, 1)}
_HOPS = {4: (socket.SOL_IP, socket.IP_TTL), 6: (socket.IPPROTO_IPV6, 52)}
"""Ancillary data: how many hops a packet may take (IP_TTL, IPV6_HOPLIMIT)."""
_PKTINFO = {4: (socket.SOL_IP, 8), 6: (socket.IPPROTO_IPV6, 50)}
"""Ancillary data: the address that a packet is to come from, or went to."""
_TRANSPARENT = {4: (socket.SOL_IP, 19), 6: (socket.IPPROTO_IPV6, 75)}
_RECVPKTINFO, _RECVHOPLIMIT = 49, 51
_OWN_HOPS = 64
_SO_MARK = 36
_CODES = {errno.ENETUNREACH: "no_route", errno.EACCES: "prohibited", errno.EPERM: "prohibited"}


class Flow(NamedTuple):
    client: Address
    target: Address
    ident: int


class Heard(NamedTuple):
    """A message with what its IP header said."""

    source: Address
    destination: Address | None
    hops: int
    message: bytes


class IcmpRelay:
    """One family's. `close` forgets all flows."""

    def __init__(self, netns: Namespace, version: int, node: Address, excluded: Sequence[Network]) -> None:
        self._netns, self._version, self._node, self._excluded = netns, version, node, excluded
        self._inside: Socket | None = None
        self._outside: Socket | None = None
        self._flows: OrderedDict[Flow, int] = OrderedDict()
        self._used_s: dict[Flow, float] = {}
        self._by_ident: dict[int, Flow] = {}
        self._by_client: Counter[Address] = Counter()
        self._next = random.randrange(1 << 16)
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Raises OSError where raw sockets are not to be had."""
        kinds, family = KINDS[self._version], _FAMILIES[self._version]
        self._open_outside().close()
        self._inside = await self._netns.socket(family, socket.SOCK_RAW, kinds.protocol)
        listen_for(self._inside, self._version, (kinds.request,))
        self._inside.setsockopt(*_TRANSPARENT[self._version], 1)
        self._inside.setsockopt(socket.SOL_SOCKET, _SO_MARK, REPLY_MARK)
        asyncio.get_running_loop().add_reader(self._inside, self._read, self._inside, self._asked)

    def close(self) -> None:
        for flow in list(self._flows):
            self._forget(flow)
        if self._inside is not None:
            asyncio.get_running_loop().remove_reader(self._inside)
            self._inside.close()
            self._inside = None

    def __len__(self) -> int:
        return len(self._flows)

    def unreachable(self, client: Address, target: Address, protocol: int, head: bytes, number: int) -> None:
        """Tells a client that what it sent did not arrive; `number` is the errno that says why."""
        kinds = KINDS[self._version]
        code = kinds.no_port if number == errno.ECONNREFUSED else self._code(number)
        quoted = icmp.quote(client, target, protocol, head)
        self._send(icmp.trouble(self._version, kinds.unreachable, code, quoted), self._node, client)

    # -- what clients ask

    def _asked(self, heard: Heard) -> None:
        found = icmp.read(self._version, heard.message)
        client, target = heard.source, heard.destination
        if not isinstance(found, icmp.Echo) or found.kind != KINDS[self._version].request or target is None:
            return
        if any(target in network for network in self._excluded):
            return
        if heard.hops <= 1:
            self._complain(heard, KINDS[self._version].time_exceeded, 0)
            return
        flow = Flow(client, target, found.ident)
        try:
            own = self._flows.get(flow) or self._begin(flow)
            self._use(flow)
            self._send_out(icmp.request(self._version, own, found.rest), target, heard.hops - 1)
        except OSError as error:
            number = error.errno or 0
            if number not in (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE):
                self._complain(heard, KINDS[self._version].unreachable, self._code(number))

    def _code(self, number: int) -> int:
        kinds = KINDS[self._version]
        return int(getattr(kinds, _CODES.get(number, "no_host")))

    def _complain(self, heard: Heard, kind: int, code: int) -> None:
        assert heard.destination is not None
        quoted = icmp.quote(
            heard.source, heard.destination, KINDS[self._version].protocol, heard.message, heard.hops
        )
        self._send(icmp.trouble(self._version, kind, code, quoted), self._node, heard.source)

    def _send_out(self, message: bytes, target: Address, hops: int) -> None:
        if self._outside is None:
            self._outside = self._open_outside()
            asyncio.get_running_loop().add_reader(self._outside, self._read, self._outside, self._answered)
        limit = [(*_HOPS[self._version], struct.pack("=i", hops))]
        self._outside.sendmsg([message], limit, 0, (str(target), 0))

    def _open_outside(self) -> Socket:
        kinds = KINDS[self._version]
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        sock = Socket(_FAMILIES[self._version], kind, kinds.protocol)
        listen_for(sock, self._version, (kinds.reply, *kinds.troubles))
        return sock

    # -- what comes back

    def _answered(self, heard: Heard) -> None:
        found = icmp.read(self._version, heard.message)
        flow = self._by_ident.get(found.ident) if found is not None else None
        if found is None or flow is None:
            return
        if isinstance(found, icmp.Echo):
            if found.kind == KINDS[self._version].reply and heard.source == flow.target:
                self._use(flow)
                hops = max(heard.hops - 1, 1)
                reply = icmp.reply(self._version, flow.ident, found.rest)
                self._send(reply, heard.source, flow.client, hops)
        elif found.target == flow.target.packed:
            quoted = icmp.requoted(found, flow.client, flow.ident)
            # An error of the host itself, as the node says it: Pods know no other way out.
            source = heard.source if not _is_quoted_source(found, heard.source) else self._node
            error = icmp.trouble(self._version, found.kind, found.code, quoted, found.more)
            self._send(error, source, flow.client)

    def _send(self, message: bytes, source: Address, client: Address, hops: int = _OWN_HOPS) -> None:
        """Under the address of somebody who is not here; the kernel cuts what is too long for the link."""
        if self._inside is None:
            return
        limit = (*_HOPS[self._version], struct.pack("=i", hops))
        where = struct.pack("=i", 0)
        about = where + source.packed + bytes(4) if self._version == 4 else source.packed + where
        try:
            self._inside.sendmsg([message], [limit, (*_PKTINFO[self._version], about)], 0, (str(client), 0))
        except OSError as error:
            log.debug("egress: icmp to %s: %s", client, error)

    def _read(self, sock: Socket, heard: Callable[[Heard], None]) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, notes, _, source = sock.recvmsg(_LARGEST, 256)
            except OSError:
                return
            said = _heard_v4(data) if self._version == 4 else _heard_v6(data, notes, source[0])
            if said is not None:
                heard(said)

    # -- flows

    def _begin(self, flow: Flow) -> int:
        if self._by_client[flow.client] >= MOST_OF_ONE_CLIENT:
            self._forget(next(each for each in self._flows if each.client == flow.client))
        elif len(self._flows) >= MOST_FLOWS:
            self._forget(next(iter(self._flows)))
        while True:
            self._next = self._next + 1 & 0xFFFF
            if self._next and self._next not in self._by_ident:
                break
        self._flows[flow] = self._next
        self._by_ident[self._next] = flow
        self._by_client[flow.client] += 1
        return self._next

    def _use(self, flow: Flow) -> None:
        self._used_s[flow] = asyncio.get_running_loop().time()
        self._flows.move_to_end(flow)
        self._wake()

    def _forget(self, flow: Flow) -> None:
        del self._by_ident[self._flows.pop(flow)]
        self._used_s.pop(flow, None)
        self._by_client[flow.client] -= 1
        if not self._by_client[flow.client]:
            del self._by_client[flow.client]
        if not self._flows:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._outside is not None:
                asyncio.get_running_loop().remove_reader(self._outside)
                self._outside.close()
                self._outside = None

    def _wake(self) -> None:
        if self._timer is None and self._flows:
            oldest = next(iter(self._flows))
            due_s = self._used_s[oldest] + IDLE_S
            self._timer = asyncio.get_running_loop().call_at(due_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for flow in list(self._flows):
            if self._used_s[flow] + IDLE_S > now_s:
                break
            self._forget(flow)
        self._wake()


def listen_for(sock: Socket, version: int, kinds: Sequence[int]) -> None:
    """The kernel passes over all messages but these (linux/icmp.h, linux/icmpv6.h: a bit blocks a type)."""
    level, option = _ICMP_FILTER[version]
    if version == 4:
        mask = 0xFFFFFFFF
        for kind in kinds:
            mask &= ~(1 << kind)
        sock.setsockopt(level, option, struct.pack("=I", mask))
        return
    words = [0xFFFFFFFF] * 8
    for kind in kinds:
        words[kind >> 5] &= ~(1 << (kind & 31))
    sock.setsockopt(level, option, struct.pack("=8I", *words))
    for name in (_RECVPKTINFO, _RECVHOPLIMIT):
        sock.setsockopt(socket.IPPROTO_IPV6, name, 1)


def _heard_v4(packet: bytes) -> Heard | None:
    length = icmp.header_length(packet)
    if not length:
        return None
    return Heard(ip_address(packet[12:16]), ip_address(packet[16:20]), packet[8], packet[length:])


def _heard_v6(message: bytes, notes: list[tuple[int, int, bytes]], source: str) -> Heard:
    destination, hops = None, 64
    for level, kind, value in notes:
        if (level, kind) == _PKTINFO[6]:
            destination = ip_address(value[:16])
        elif (level, kind) == _HOPS[6]:
            (hops,) = struct.unpack("=i", value[:4])
    return Heard(ip_address(source.partition("%")[0]), destination, hops, message)


def _is_quoted_source(found: icmp.Trouble, source: Address) -> bool:
    """Whether the packet came from whoever complains about it."""
    at = 12 if source.version == 4 else 8
    return found.quoted[at : at + len(source.packed)] == source.packed
