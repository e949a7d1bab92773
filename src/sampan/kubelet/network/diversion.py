"""The nft rules that lead a node's way out to its relays. Pure.

They come after the Services' rules in the same hooks, so what those have translated is inside already. TCP is
translated to the relay's port; UDP is caught as it is (tproxy), which needs a mark and a route of its own:
a datagram of the node itself is turned back by that route, and caught as it comes in by the loopback. By the
same route the kernel takes echo requests for its own, and its answers are dropped: the relay answers.
What cannot be relayed is refused, so that nobody waits for it: other protocols as prohibited, a family in
which the host itself has no way out as unreachable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from sampan.kubelet.network.icmprelay import REPLY_MARK
from sampan.kubelet.network.netlink import Network
from sampan.kubelet.network.plan import NodePlan
from sampan.kubelet.network.uplink import NODE_LINK

TABLE = "sampan_egress"
MARK = 0x80000000
"""The top bit; the Services' rules use the others."""
_NEVER_OUTSIDE: Mapping[int, tuple[Network, ...]] = {
    4: tuple(IPv4Network(net) for net in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
    6: tuple(IPv6Network(net) for net in ("::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8")),
}
"""This machine, links and groups: nothing a relay on the host may be made to connect to."""
_WORDS = {4: "ip", 6: "ip6"}
_ICMP = {4: "icmp", 6: "icmpv6"}


@dataclass(frozen=True, slots=True)
class Outlet:
    """One family's way out. `node` is where its relays listen; without `open`, there is no way.

    With `udp_port` 0, there is none for datagrams; without `echoes`, none for echo requests.
    """

    version: int
    node: str
    tcp_port: int
    udp_port: int
    inside: tuple[Network, ...]
    open: bool
    echoes: bool = False


def inside(plan: NodePlan, version: int) -> tuple[Network, ...]:
    """Where no relay leads: the cluster, its uplink, and what is nowhere outside."""
    own: list[Network] = []
    for family in plan.families:
        if family.version == version:
            own += [family.cluster_cidr, family.service_cidr, *family.load_balancers, family.host.network]
    return (*own, *_NEVER_OUTSIDE[version])


def rules(outlets: Sequence[Outlet]) -> str:
    """All of it, as one transaction."""
    return f"""{CLEAR}
table inet {TABLE} {{
{"".join(_inside_set(outlet) for outlet in outlets)}\
	chain pods {{
		type nat hook prerouting priority -99; policy accept;
{_lines(outlets, 'iifname "pod*" {away} meta l4proto tcp dnat {ip} to {socket}')}\
	}}
	chain node {{
		type nat hook output priority -99; policy accept;
{_lines(outlets, "{away} meta l4proto tcp dnat {ip} to {socket}")}\
	}}
	chain datagrams {{
		type filter hook prerouting priority -98; policy accept;
{_echoes(outlets, 'iifname "pod*" {away} {request} meta mark set {mark} accept')}\
		meta l4proto != udp return
		ct direction reply return
{_datagrams(outlets, 'iifname "pod*" {away} {catch}')}\
{_datagrams(outlets, 'iif "lo" meta mark & {mark} != 0 {away} {catch}')}\
	}}
	chain node_datagrams {{
		type route hook output priority -98; policy accept;
{_echoes(outlets, "{away} {request} meta mark set {mark}")}\
		meta l4proto != udp return
		ct direction reply return
{_datagrams(outlets, "{away} meta mark set {mark}")}\
	}}
	chain pods_rest {{
		type filter hook forward priority 10; policy accept;
		iifname "pod*" oifname "{NODE_LINK}" ct direction original jump refuse
	}}
	chain node_rest {{
		type filter hook output priority 10; policy accept;
{_echoes(outlets, "{ip} saddr != @inside{version} {reply} meta mark != {ours} drop")}\
{_echoes(outlets, "{away} {request} meta mark & {mark} != 0 accept")}\
		oifname "{NODE_LINK}" ct direction original jump refuse
	}}
	chain refuse {{
{"".join(_refusal(outlet) for outlet in outlets)}\
	}}
}}
""".replace("\\\n", "")


CLEAR = f"""table ip {TABLE} {{
}}
delete table ip {TABLE}
table inet {TABLE} {{
}}
delete table inet {TABLE}
"""
"""Takes the table away if it is there; also the one that sampan had when it knew IPv4 alone."""


def _lines(outlets: Sequence[Outlet], form: str) -> str:
    return "".join(f"\t\t{form.format(**_values(outlet))}\n" for outlet in outlets if outlet.open)


def _datagrams(outlets: Sequence[Outlet], form: str) -> str:
    return _lines([outlet for outlet in outlets if outlet.udp_port], form)


def _echoes(outlets: Sequence[Outlet], form: str) -> str:
    return _lines([outlet for outlet in outlets if outlet.echoes], form)


def _values(outlet: Outlet) -> dict[str, str]:
    word = _WORDS[outlet.version]
    host = f"[{outlet.node}]" if outlet.version == 6 else outlet.node
    mark = f"{MARK:#x}"
    return {
        "ip": word,
        "away": f"{word} daddr != @inside{outlet.version}",
        "socket": f"{host}:{outlet.tcp_port}",
        "mark": mark,
        "version": str(outlet.version),
        "request": f"{_ICMP[outlet.version]} type echo-request",
        "reply": f"{_ICMP[outlet.version]} type echo-reply",
        "ours": f"{REPLY_MARK:#x}",
        "catch": f"meta l4proto udp tproxy {word} to :{outlet.udp_port} meta mark set {mark} accept",
    }


def _inside_set(outlet: Outlet) -> str:
    ranges = ", ".join(str(network) for network in outlet.inside)
    return f"""	set inside{outlet.version} {{
		type ipv{outlet.version}_addr
		flags interval
		elements = {{ {ranges} }}
	}}
"""


def _refusal(outlet: Outlet) -> str:
    relayed = "{ tcp, udp }" if outlet.udp_port else "tcp"
    verdict = f"meta l4proto != {relayed} reject with icmpx type admin-prohibited"
    if not outlet.open:
        verdict = "reject with icmpx type no-route"
    return f"\t\t{_WORDS[outlet.version]} daddr != @inside{outlet.version} {verdict}\n"
