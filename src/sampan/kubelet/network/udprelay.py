"""UDP carried from a node's namespace to the outside.

A datagram caught by tproxy comes to one transparent socket per family, with its first destination beside it
(IP_RECVORIGDSTADDR). It begins a flow: a socket on the host connected to that destination, and one in the
node's namespace that has the destination's own address and is connected to the client. From then on the
kernel brings the client's datagrams to that second socket by itself, and answers leave by it.

Flows live on the event loop, ordered by their last use; the one unused for longest goes when it has been idle
for too long or others need its place. What cannot be sent at once is dropped, as a router would.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import Sequence
from ipaddress import ip_address
from socket import socket as Socket

from sampan.kubelet.network.contract import Namespace, NetworkFault
from sampan.kubelet.network.icmprelay import IcmpRelay
from sampan.kubelet.network.netlink import Network

log = logging.getLogger(__name__)

IDLE_S = 60.0
MOST_FLOWS = 1024
MOST_OF_ONE_CLIENT = 256
_AT_ONCE = 64
"""Datagrams read in one turn of the event loop, so that others get theirs."""
_LARGEST = 65535
_MISSED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
"""What a socket says when a datagram did not arrive."""
_RECEIVE_BUFFER = 1 << 20
_OPTIONS = {
    # level, transparent, receive the first destination (linux/in.h, linux/in6.h)
    socket.AF_INET: (socket.SOL_IP, 19, 20),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 75, 74),
}
_SOCKADDR = {socket.AF_INET: struct.Struct(">2xH4s8x"), socket.AF_INET6: struct.Struct(">2xH4x16s4x")}

Place = tuple[str, int]


class UdpRelay:
    """One family's. `close` forgets all flows."""

    def __init__(
        self,
        netns: Namespace,
        family: socket.AddressFamily,
        excluded: Sequence[Network],
        complaints: IcmpRelay | None = None,
    ) -> None:
        """`complaints` tells clients what did not arrive."""
        self._complaints = complaints
        self._netns, self._family, self._excluded = netns, family, excluded
        self._flows: OrderedDict[tuple[Place, Place], _Flow] = OrderedDict()
        self._by_client: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._listener: Socket | None = None

    async def start(self) -> int:
        """The port to which tproxy is to lead."""
        level, transparent, first_destination = _OPTIONS[self._family]
        sock = await self._netns.socket(self._family, socket.SOCK_DGRAM)
        sock.setsockopt(level, transparent, 1)
        sock.setsockopt(level, first_destination, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind(("", 0))
        self._listener = sock
        asyncio.get_running_loop().add_reader(sock, self._arrived)
        port: int = sock.getsockname()[1]
        return port

    def close(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for flow in list(self._flows.values()):
            self._forget(flow)

    def __len__(self) -> int:
        return len(self._flows)

    def _arrived(self) -> None:
        """Datagrams of clients that have no socket of their own yet."""
        assert self._listener is not None
        for _ in range(_AT_ONCE):
            try:
                data, notes, _, source = self._listener.recvmsg(_LARGEST, 128)
            except OSError:
                return  # none left; an error of an earlier one concerns nobody here
            client, target = (source[0], source[1]), self._target(notes)
            if target is None:
                continue
            flow = self._flows.get((client, target)) or self._begin(client, target)
            if flow is not None:
                flow.outward(data)

    def _target(self, notes: list[tuple[int, int, bytes]]) -> Place | None:
        level, _, kind = _OPTIONS[self._family]
        form = _SOCKADDR[self._family]
        for found_level, found_kind, value in notes:
            if (found_level, found_kind) == (level, kind):
                port, packed = form.unpack_from(value)
                address = ip_address(packed)
                if any(address in network for network in self._excluded):
                    return None
                return str(address), port
        return None

    def _begin(self, client: Place, target: Place) -> _Flow | None:
        self._make_room(client)
        outside = Socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            outside.connect(target)
        except OSError as error:
            log.debug("egress: udp to %s port %d: %s", *target, error)
            outside.close()
            self._complain(client, target, error)
            return None
        flow = self._flows[client, target] = _Flow(self, client, target, outside)
        self._by_client[client[0]] += 1
        flow.opening = asyncio.get_running_loop().create_task(self._open(flow))
        self._wake()
        return flow

    def _make_room(self, client: Place) -> None:
        if self._by_client[client[0]] >= MOST_OF_ONE_CLIENT:
            self._forget(next(flow for flow in self._flows.values() if flow.client[0] == client[0]))
        elif len(self._flows) >= MOST_FLOWS:
            self._forget(next(iter(self._flows.values())))

    async def _open(self, flow: _Flow) -> None:
        """The socket that speaks to the client as the far end."""
        level, transparent, _ = _OPTIONS[self._family]
        try:
            sock = await self._netns.socket(self._family, socket.SOCK_DGRAM)
        except (OSError, NetworkFault) as error:
            log.warning("egress: %s", error)
            self._forget(flow)
            return
        try:
            sock.setsockopt(level, transparent, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(flow.target)
            sock.connect(flow.client)
        except OSError as error:
            log.debug("egress: udp for %s port %d: %s", *flow.target, error)
            sock.close()
            self._forget(flow)
            return
        flow.join(sock)

    def used(self, flow: _Flow) -> None:
        flow.used_s = asyncio.get_running_loop().time()
        self._flows.move_to_end((flow.client, flow.target))

    def failed(self, flow: _Flow, error: OSError | None) -> None:
        """The far end (it said so by `error`) or the client is not there: the next datagram begins anew."""
        self._forget(flow)
        if error is not None:
            self._complain(flow.client, flow.target, error)

    def _complain(self, client: Place, target: Place, error: OSError) -> None:
        if self._complaints is not None and error.errno in _MISSED:
            head = struct.pack(">HHHH", client[1], target[1], 8, 0)
            ends = ip_address(client[0]), ip_address(target[0])
            self._complaints.unreachable(*ends, socket.IPPROTO_UDP, head, error.errno)

    def _forget(self, flow: _Flow) -> None:
        if self._flows.pop((flow.client, flow.target), None) is not None:
            self._by_client[flow.client[0]] -= 1
            if not self._by_client[flow.client[0]]:
                del self._by_client[flow.client[0]]
            flow.close()
        if not self._flows and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        """Arranges for the next end of a flow; nothing ticks while there is none."""
        if self._timer is None and self._flows:
            oldest = next(iter(self._flows.values()))
            self._timer = asyncio.get_running_loop().call_at(oldest.used_s + IDLE_S, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        for flow in list(self._flows.values()):
            if flow.used_s + IDLE_S > now_s:
                break
            self._forget(flow)
        self._wake()


class _Flow:
    """Datagrams between a client and one place outside. Until `join`, answers wait in the host's socket."""

    __slots__ = ("_inside", "_outside", "_relay", "client", "opening", "target", "used_s")

    def __init__(self, relay: UdpRelay, client: Place, target: Place, outside: Socket) -> None:
        self._relay, self.client, self.target, self._outside = relay, client, target, outside
        self._inside: Socket | None = None
        self.opening: asyncio.Task[None] | None = None
        self.used_s = asyncio.get_running_loop().time()

    def outward(self, data: bytes) -> None:
        self._pass_on(data, self._outside)

    def join(self, inside: Socket) -> None:
        self._inside = inside
        loop = asyncio.get_running_loop()
        loop.add_reader(inside, self._carry, inside, self._outside)
        loop.add_reader(self._outside, self._carry, self._outside, inside)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        if self.opening is not None:
            self.opening.cancel()
        for sock in (self._outside, self._inside):
            if sock is not None:
                loop.remove_reader(sock)
                sock.close()

    def _carry(self, origin: Socket, end: Socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = origin.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                self._relay.failed(self, error if origin is self._outside else None)
                return
            if not self._pass_on(data, end):
                return

    def _pass_on(self, data: bytes, end: Socket) -> bool:
        """Whether the flow goes on."""
        self._relay.used(self)
        try:
            end.send(data)
        except BlockingIOError:
            return True
        except OSError as error:
            self._relay.failed(self, error if end is self._outside else None)
            return False
        return True
