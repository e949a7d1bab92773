"""Carries rtnetlink requests to the kernel and brings back its verdicts.

The kernel works while `send` runs, so every answer is in the queue when it returns: these calls do not wait
for anybody else, but they may wait for the kernel's own network lock. Call them in a thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Collection, Sequence
from fcntl import ioctl

from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.netlink import (
    DUMP_INTERRUPTED,
    NLMSG_DONE,
    NLMSG_ERROR,
    Reply,
    Request,
    error_of,
    pack,
    unpack,
)

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 10, 11
_RECEIVE_BYTES = 1 << 17
_SIOCETHTOOL, _ETHTOOL_GLINK = 0x8946, 0x0A
_IFREQ = struct.Struct("@16sP16x")
_ETHTOOL_VALUE = struct.Struct("=II")


class NetlinkFault(NetworkFault):
    """The kernel refused a request; `number` is its errno."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{os.strerror(number)}{f': {text}' if text else ''}")
        self.number = number


def open_socket() -> socket.socket:
    """An rtnetlink socket of the namespace the calling thread is in."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
    sock.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
    return sock


def carry_out(sock: socket.socket, requests: Sequence[Request], tolerate: Collection[int] = ()) -> None:
    """Sends all in one datagram. The kernel tries each one; the first error outside `tolerate` is raised.

    Every request must ask for an acknowledgement.
    """
    if not requests:
        return
    sock.send(pack(requests))
    waiting = len(requests)
    first: NetlinkFault | None = None
    while waiting:
        for reply in unpack(sock.recv(_RECEIVE_BYTES)):
            if reply.kind != NLMSG_ERROR:
                continue
            waiting -= 1
            number, text = error_of(reply)
            if number and number not in tolerate and first is None:
                first = NetlinkFault(number, text)
    if first is not None:
        raise first


def settle_carrier(name: str) -> None:
    """Makes the kernel act on a carrier that has just come up on this link of the thread's namespace.

    The end of a veth that was up before the other has its queue attached by a work item some time later, and
    what is sent before that is lost: a connection then waits one second for its second try. Asking for the
    link's state by ethtool does that work at once (ETHTOOL_GLINK, linux/ethtool.h).
    """
    value = ctypes.create_string_buffer(_ETHTOOL_VALUE.pack(_ETHTOOL_GLINK, 0))
    request = _IFREQ.pack(name.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ioctl(sock, _SIOCETHTOOL, request)


def dump(sock: socket.socket, request: Request, attempts: int = 5) -> list[Reply]:
    """All parts of a dump; asked again when the kernel says that it changed meanwhile."""
    for _ in range(attempts):
        sock.send(pack([request]))
        replies: list[Reply] = []
        done = interrupted = False
        while not done:
            for reply in unpack(sock.recv(_RECEIVE_BYTES)):
                interrupted |= bool(reply.flags & DUMP_INTERRUPTED)
                if reply.kind == NLMSG_ERROR:
                    raise NetlinkFault(*error_of(reply))
                if reply.kind == NLMSG_DONE:
                    done = True
                else:
                    replies.append(reply)
        if not interrupted:
            return replies
    raise NetlinkFault(errno.EINTR, "the kernel's table never held still")
