"""The VXLAN link of a node, over which its Pods talk to other nodes' (RFC 7348).

Nothing is learned and nothing is flooded: who is where is told to the kernel, entry by entry (`peers`). The
link has the first address of each of the node's Pod ranges. What is not from a Pod leaves by it with that
address: an answer to the node's own one would come back past the link, where nobody waits for it.
All functions block, and work in the node's namespace.
"""

from __future__ import annotations

import errno
import struct
from socket import if_nametoindex
from socket import socket as Socket

from sampan.kubelet.network import netlink, rtnetlink
from sampan.kubelet.network.netlink import LinkEnd, attribute
from sampan.kubelet.network.peers import far_port_mac
from sampan.kubelet.network.plan import NodePlan
from sampan.kubelet.network.uplink import find_links

LINK = "vx0"
TABLE = "sampan_overlay"
_ID, _LOCAL, _LEARNING, _PORT, _LOCAL6 = 1, 4, 7, 15, 17
_NETWORK_ID = 1
_UDP_PORT = 8472
"""What Linux and flannel use, not the 4789 of the RFC."""


def ensure(sock: Socket, plan: NodePlan) -> int:
    """The index of the link, with its addresses."""
    if LINK not in find_links(sock):
        primary = plan.families[0]
        local = attribute(_LOCAL if primary.version == 4 else _LOCAL6, primary.node.ip.packed)
        data = attribute(_ID, struct.pack("=I", _NETWORK_ID)) + local
        data += attribute(_LEARNING, b"\0") + attribute(_PORT, struct.pack(">H", _UDP_PORT))
        end = LinkEnd(LINK, 0, far_port_mac(primary.pod_cidr))
        rtnetlink.carry_out(sock, [netlink.create_link("vxlan", end, data, netlink.size_of_link(plan.mtu))])
    index = if_nametoindex(LINK)
    requests = [netlink.raise_link(index)]
    for family in plan.families:
        own = type(family.node)(str(family.pod_cidr.network_address))
        requests += netlink.own_address(own, index)
    rtnetlink.carry_out(sock, requests)
    return index


def remove(sock: Socket) -> None:
    """Of a node that has the other nodes' Pods by plain routes now."""
    link = find_links(sock).get(LINK)
    if link is not None:
        rtnetlink.carry_out(sock, [netlink.delete_link(link.index)], {errno.ENODEV})


def rules(plan: NodePlan) -> str:
    """As one transaction. It comes before the Services' own translation of sources, which is then done."""
    lines = []
    for family in plan.families:
        word = "ip" if family.version == 4 else "ip6"
        own = family.pod_cidr.network_address
        lines.append(f'oifname "{LINK}" {word} saddr != {family.cluster_cidr} snat {word} to {own}')
    body = "\n\t\t".join(lines)
    return f"""table inet {TABLE} {{
}}
delete table inet {TABLE}
table inet {TABLE} {{
	chain leaving {{
		type nat hook postrouting priority 90; policy accept;
		{body}
	}}
}}
"""
