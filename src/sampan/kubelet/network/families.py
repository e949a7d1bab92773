"""Which address families a cluster has: what was asked for, as far as the kernel can."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

from sampan.kubelet.network.contract import NetworkFault

log = logging.getLogger(__name__)

NAMES: Mapping[str, int] = {"ipv4": 4, "ipv6": 6}
DEFAULT = (4, 6)


def parse(text: str) -> tuple[int, ...]:
    """`ipv4`, `ipv6`, or both with a comma, the primary first. ValueError for anything else."""
    words = text.split(",")
    if not set(words) <= NAMES.keys() or len(set(words)) != len(words):
        raise ValueError(f"{text!r} is none of ipv4, ipv6, ipv4,ipv6 and ipv6,ipv4")
    return tuple(NAMES[word] for word in words)


def kernel_has_ipv6() -> bool:
    """Whether the kernel was built and started with it; a sysctl may still keep it off the host's links."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def usable(asked: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The families of `asked` (nothing: both) that the kernel has. NetworkFault if there is none."""
    if kernel_has_ipv6():
        return asked or DEFAULT
    left = tuple(version for version in asked or DEFAULT if version == 4)
    if not left:
        raise NetworkFault("the kernel has no IPv6 (it is built without, or started with ipv6.disable=1)")
    if 6 in asked:
        log.warning("the kernel has no IPv6: Pods, Services and nodes get IPv4 addresses alone")
    return left
