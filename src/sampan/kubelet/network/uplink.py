"""Veths between the host, a node and the LAN of several nodes.

A lone node hangs on the host directly. Several share a LAN: a namespace with nothing but a bridge in it, one
leg for the host and one for each node, so that the host needs no bridge and no forwarding of its own.
All functions block, and work in the namespace in which `sock` was opened.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from socket import if_nametoindex
from socket import socket as Socket

from sampan.kubelet.network import devices, rtnetlink
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.devices import Link, LinkEnd

NODE_LINK = "uplink"
HOST_PORT = "host"
BRIDGE = "lan"
_BRIDGE_FILTERS = ("iptables", "ip6tables", "arptables")


class IndexTaken(NetworkFault):
    """Somebody else owns a link or a route of this plan's index."""


@dataclass(frozen=True, slots=True)
class Span:
    """A veth: its `near` end where the caller is, its `far` end in the namespace pinned at `pin`.

    With `owner`, the near end bears it as its alias, and a link of that name with another one is not ours.
    """

    near: LinkEnd
    far: LinkEnd
    pin: Path
    owner: str = ""


def port_of(number: int) -> str:
    """The name of node `number`'s port on the bridge."""
    return f"node{number}"


def find_links(sock: Socket) -> dict[str, Link]:
    return {link.name: link for link in devices.links(rtnetlink.dump(sock, devices.get_links()))}


def lay(sock: Socket, span: Span, far: Link | None) -> int:
    """The index of the near end of a whole veth, made if need be; `far` is the link found at the other end.

    Anything else of our own by the near end's name is deleted. Raises IndexTaken, NetlinkFault.
    """
    name = span.near.name
    near = find_links(sock).get(name)
    if near is not None:
        if far and (near.index, near.peer_index) == (far.peer_index, far.index):
            return near.index
        if span.owner and near.alias != span.owner:
            # Without a name its owner is making it just now; ours would have its end in our namespace.
            plan, cluster = name.removeprefix("sampan"), span.owner.removeprefix("sampan ")
            raise IndexTaken(
                f"address plan {plan} of cluster {cluster!r} is in use: "
                f"{name} belongs to {near.alias or 'somebody'!r}; take that cluster down first"
            )
        rtnetlink.carry_out(sock, [devices.delete_link(near.index)], {errno.ENODEV})
    with span.pin.open("rb") as pin:
        try:
            rtnetlink.carry_out(sock, [devices.create_veth(span.near, span.far, pin.fileno())])
        except rtnetlink.NetlinkFault as fault:
            if fault.number == errno.EEXIST:
                raise IndexTaken(f"{name} was made by somebody else just now") from fault
            raise
    index = if_nametoindex(name)
    if span.owner:
        rtnetlink.carry_out(sock, [devices.name_link_owner(index, span.owner)])
    return index


def is_joined(here: Link | None, there: Link | None) -> bool:
    """Whether these are the two ends of one veth."""
    return bool(here and there and (here.index, here.peer_index) == (there.peer_index, there.index))


def prepare_lan(sock: Socket) -> dict[str, Link]:
    """The bridge, in the LAN's own namespace. Returns the links found there."""
    # It carries frames and has no addresses; rules of nodes must not see a packet twice.
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    for name in _BRIDGE_FILTERS:
        switch = Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}")
        if switch.exists():
            switch.write_text("0")
    found = find_links(sock)
    if BRIDGE not in found:
        end = LinkEnd(BRIDGE, 0, b"\x0a\x58\0\0\0\x01")
        rtnetlink.carry_out(sock, [devices.create_link("bridge", end)])
    else:
        rtnetlink.carry_out(sock, [devices.raise_link(found[BRIDGE].index)])
    return found


def plug(sock: Socket, port: str) -> None:
    """Makes the link `port` a port of the bridge, up and settled."""
    index = if_nametoindex(port)
    rtnetlink.carry_out(
        sock, [devices.enslave_link(index, if_nametoindex(BRIDGE)), devices.raise_link(index)]
    )
    rtnetlink.settle_carrier(port)
