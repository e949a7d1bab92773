"""The VXLAN link of a node, over which its Pods talk to other nodes' (RFC 7348).

Nothing is learned and nothing is flooded: who is where is told to the kernel, entry by entry (`peers`). The
link has the first address of each of the node's Pod ranges.

Between nodes, Pods' addresses are known inside the tunnel alone, and the nodes' own ones outside of it. So
what has no Pod's address, or is to lose it, leaves by the link with the link's address; and what a Pod sends
to another node itself leaves with this node's. Otherwise the answer would come back by the other way, where
strict reverse-path filtering drops it.
All functions block, and work in the node's namespace.
"""

from __future__ import annotations

import errno
import struct
from socket import if_nametoindex
from socket import socket as Socket

from sampan.kubelet.network import devices, netlink, rtnetlink
from sampan.kubelet.network.devices import LinkEnd
from sampan.kubelet.network.netlink import attribute
from sampan.kubelet.network.peers import far_port_mac
from sampan.kubelet.network.plan import NodePlan
from sampan.kubelet.network.uplink import NODE_LINK, find_links

LINK = "vx0"
TABLE = "sampan_overlay"
EXTERNAL, KEEP = 0x02000000, 0x08000000
"""Bits of a connection's mark by the Services' rules: it came by a node's port or the like, and its client's
address is lost by that, unless it is kept."""
_ID, _LOCAL, _LEARNING, _PORT, _LOCAL6 = 1, 4, 7, 15, 17
_NETWORK_ID = 1
UDP_PORT = 8472
"""What Linux and flannel use, not the 4789 of the RFC."""


def ensure(sock: Socket, plan: NodePlan) -> int:
    """The index of the link, with its addresses."""
    if LINK not in find_links(sock):
        primary = plan.families[0]
        local = attribute(_LOCAL if primary.version == 4 else _LOCAL6, primary.node.ip.packed)
        data = attribute(_ID, struct.pack("=I", _NETWORK_ID)) + local
        data += attribute(_LEARNING, b"\0") + attribute(_PORT, struct.pack(">H", UDP_PORT))
        end = LinkEnd(LINK, 0, far_port_mac(primary.pod_cidr))
        rtnetlink.carry_out(sock, [devices.create_link("vxlan", end, data, devices.size_of_link(plan.mtu))])
    index = if_nametoindex(LINK)
    requests = [devices.raise_link(index)]
    for family in plan.families:
        own = type(family.node)(str(family.pod_cidr.network_address))
        requests += netlink.own_address(own, index)
    rtnetlink.carry_out(sock, requests)
    return index


def remove(sock: Socket) -> bool:
    """Of a node that has the other nodes' Pods by plain routes now. Whether there was one."""
    link = find_links(sock).get(LINK)
    if link is not None:
        rtnetlink.carry_out(sock, [devices.delete_link(link.index)], {errno.ENODEV})
    return link is not None


CLEAR = f"""table inet {TABLE} {{
}}
delete table inet {TABLE}
"""


def rules(plan: NodePlan) -> str:
    """As one transaction. It comes before the Services' own translation of sources, which is then done."""
    lost = f"ct mark & {EXTERNAL | KEEP:#x} == {EXTERNAL:#x}"
    lines = []
    for family in plan.families:
        word = "ip" if family.version == 4 else "ip6"
        pods, own = family.cluster_cidr, f"snat {word} to {family.pod_cidr.network_address}"
        lines += [
            f'oifname "{LINK}" {word} saddr != {pods} {own}',
            f'oifname "{LINK}" meta nfproto ipv{family.version} {lost} {own}',
            f'oifname "{NODE_LINK}" {word} saddr {pods} {word} daddr != {family.host.ip} '
            f"snat {word} to {family.node.ip}",
        ]
    body = "\n\t\t".join(lines)
    return f"""{CLEAR}table inet {TABLE} {{
	chain leaving {{
		type nat hook postrouting priority 90; policy accept;
		{body}
	}}
}}
"""
