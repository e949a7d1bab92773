"""The static part of the rules, as nft text: loaded once per node, the same whatever the Services are.

How a packet goes: `fe`/`np` turn its destination into a service port's mark (kept as the flow's ct mark);
`ext` settles what is special about addresses from outside (policies, source ranges); `svc` says how many
endpoints the service port has; `class` jumps to a chain that draws a slot; `ep` turns the slot into an
address. What found a service port but no endpoint is rejected behind the nat hook, because a reset sent
from a nat chain never leaves. The draw is followed by slot 0: a reader that saw the old count and the new,
shorter list still finds an endpoint.

Whose source becomes the node's address: a Pod's that calls itself, what comes from outside by `Cluster`
policy, and whoever is no Pod of this node; never what comes by `Local` policy (KEEP).

A packet that conntrack cannot place is not translated back, and its receiver would answer a stranger's packet
with a reset that ends the connection: such packets are dropped, and sent again.

Host ports (`hp`) are looked for last, so a Service that has the port as well keeps it. They answer on
127.0.0.1, too, which takes the node's `route_localnet`; what that would let in from outside is dropped first
(`martians`), and what leaves with a loopback source gets the node's.

Names of chains and sets are the table's (`table`); `affinity` has the part for clients that are remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sampan.proxy import affinity
from sampan.proxy.table import (
    DROP,
    EXTERNAL,
    KEEP,
    KEY_MASK,
    LOCAL,
    MADE_ONCE,
    RANGES,
    STICKY,
    TABLE,
    Element,
    Fields,
    Table,
)

ENTRY_CHAIN = "services"
PREPARED_COUNTS = 16
"""Chains for up to so many endpoints are there from the start; others are made when first needed."""


@dataclass(frozen=True, slots=True)
class FamilyConstants:
    """What the rules say about one address family. `node`: the source of what the node passes on.

    `pod_cidr`: this node's Pods; `cluster_cidrs`: all nodes' Pods. `guarded`: what is nobody's if it is no
    Service's, so that packets to it are refused instead of sent on.
    """

    version: int
    node: str
    pod_cidr: str
    guarded: tuple[str, ...]
    cluster_cidrs: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return str(self.version)

    @property
    def ip(self) -> str:
        return "ip" if self.version == 4 else "ip6"

    @property
    def address_type(self) -> str:
        return f"ipv{self.version}_addr"


_LOOPBACK: Mapping[int, str] = {4: "127.0.0.0/8", 6: "::1"}


def fixed_elements(counts: Iterable[int] = ()) -> Table:
    """The elements that the static rules bring with them."""
    wanted = sorted({*range(1, PREPARED_COUNTS + 1), *counts} - {DROP})
    classes: Table = {Element("class", (number,)): (affinity.chain_of(number),) for number in wanted}
    classes[Element("class", (DROP,))] = ("dropit",)
    return classes


def elements_text(table: Mapping[Element, Fields]) -> str:
    """`add element` lines; for a table that must come in the same transaction as the static rules."""
    by_set: dict[str, list[str]] = {}
    for (name, key), value in table.items():
        if name not in MADE_ONCE:
            entry = " . ".join(map(str, key)) + (f" : {' . '.join(map(str, value))}" if value else "")
            by_set.setdefault(name, []).append(entry)
    return "".join(
        f"add element inet {TABLE} {name} {{ {', '.join(entries)} }}\n" for name, entries in by_set.items()
    )


def version_chain(families: Iterable[FamilyConstants]) -> str:
    """The name of an empty chain that tells one ruleset from another."""
    text = _body(tuple(families), {}, "")
    return f"version_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def text(
    families: Iterable[FamilyConstants], table: Mapping[Element, Fields] | None = None, kept: str = ""
) -> str:
    """One transaction that replaces whatever table there was by the static rules and these elements.

    `kept`: more of the same, about clients that the kernel remembers.
    """
    listed = tuple(families)
    elements = table or {}
    body = _body(listed, elements, version_chain(listed))
    return f"table inet {TABLE}\ndelete table inet {TABLE}\n{body}{elements_text(elements)}{kept}"


def guards_text(families: Iterable[FamilyConstants], more: Iterable[str]) -> str:
    """One transaction that guards these networks beside those that the rules name."""
    listed = [(":" in network, network) for network in more]
    lines = []
    for f in families:
        networks = [*f.guarded, *(text for six, text in listed if six == (f.version == 6))]
        lines.append(f"flush set inet {TABLE} cips{f.suffix}\n")
        lines.append(f"add element inet {TABLE} cips{f.suffix} {{ {', '.join(networks)} }}\n")
    return "".join(lines)


def _body(families: tuple[FamilyConstants, ...], table: Mapping[Element, Fields], version: str) -> str:
    marker = f"\tchain {version} {{\n\t}}\n" if version else ""
    sets = "".join(_sets(family) for family in families)
    parts = f"{marker}{sets}{_choice(families, table)}{_entrance(families)}{_hooks(families)}"
    return f"table inet {TABLE} {{\n{parts}}}\n"


def _choice(families: tuple[FamilyConstants, ...], table: Mapping[Element, Fields]) -> str:
    """From a service port's class to its endpoint."""
    classes = fixed_elements(int(key[0]) for name, key in table if name == "class")
    verdicts = ", ".join(f"{element.key[0]} : goto {value[0]}" for element, value in classes.items())
    numbers = sorted({int(e.key[0]) for e in classes} - {1, DROP})
    counted = "".join(
        f"\tchain n{count} {{\n\t\tmeta mark set numgen random mod {count} goto pick\n\t}}\n"
        for count in numbers
        if count < STICKY
    )
    timeouts = [number - STICKY for number in numbers if number >= STICKY]
    draws = sorted(int(key[0]) for name, key in table if name == "draw")
    dnat = "".join(
        f"\t\tmeta nfproto ipv{f.version} meta l4proto {{ tcp, udp, sctp }} "
        f"dnat {f.ip} to {affinity.KIND} . meta mark map @ep{f.suffix}\n"
        for f in families
    )
    return f"""\
	map svc {{
		type mark : mark
	}}
	chain dropit {{
		drop
	}}
	chain rej {{
		meta l4proto tcp reject with tcp reset
		reject with icmpx type port-unreachable
	}}
	chain n1 {{
		meta mark set 0
{dnat}	}}
	chain pick {{
{dnat}		goto n1
	}}
{counted}{affinity.text([f.version for f in families], dnat, timeouts, draws)}\
	map class {{
		type mark : verdict
		elements = {{ {verdicts} }}
	}}
"""


def _entrance(families: tuple[FamilyConstants, ...]) -> str:
    """From a packet to its service port, and what its way in says of it."""
    lookups = "".join(_lookup(family) for family in families)
    ranges = "".join(
        f"\t\tmeta nfproto ipv{f.version} ct mark & {KEY_MASK:#x} . {f.ip} saddr != @lbsrc{f.suffix} drop\n"
        for f in families
    )
    inner = "".join(
        f"\t\t{f.ip} saddr @cluster{f.suffix} ct mark set ct mark & {KEY_MASK:#x}\n" for f in families
    )
    return f"""\
	chain ranges {{
{ranges}	}}
	chain ext {{
		ct mark & {RANGES:#x} != 0 jump ranges
		ct mark & {LOCAL:#x} == 0 return
{inner}		fib saddr type local ct mark set ct mark & {KEY_MASK:#x}
	}}
	chain services {{
{lookups}		ct mark 0 return
		ct mark & {EXTERNAL:#x} != 0 jump ext
		meta mark set 0
		meta mark set {affinity.KIND} map @svc
		meta mark vmap @class
	}}
"""


def _hooks(families: tuple[FamilyConstants, ...]) -> str:
    """Where packets come to all this, and what becomes of those that found nothing, and of sources."""
    guards = "".join(
        f"\t\tct state new ct status & dnat == 0 {f.ip} daddr @cips{f.suffix} "
        "fib daddr type != local goto rej\n"
        for f in families
    )
    hairpins = "".join(f"\t\t{f.ip} saddr . {f.ip} daddr @hair{f.suffix} {_snat(f)}\n" for f in families)
    external = "".join(
        f"\t\tmeta nfproto ipv{f.version} ct mark & {EXTERNAL:#x} != 0 {_snat(f)}\n" for f in families
    )
    masquerade = "".join(f"\t\t{f.ip} saddr != @pods{f.suffix} {_snat(f)}\n" for f in families)
    loopback = "".join(f"\t\tip saddr {_LOOPBACK[4]} {_snat(f)}\n" for f in families if f.version == 4)
    reject_rules = f"\t\tct state new ct mark != 0 ct status & dnat == 0 goto rej\n{guards}"
    services = "\t\tmeta l4proto { tcp, udp, sctp } jump services\n"
    return f"""\
	chain martians {{
		type filter hook prerouting priority -300; policy accept;
		ip daddr {_LOOPBACK[4]} iif != lo drop
		ip saddr {_LOOPBACK[4]} iif != lo drop
	}}
	chain pre {{
		type nat hook prerouting priority -100; policy accept;
{services}	}}
	chain out {{
		type nat hook output priority -100; policy accept;
{services}	}}
	chain rejpre {{
		type filter hook prerouting priority -90; policy accept;
{reject_rules}	}}
	chain rejout {{
		type filter hook output priority -90; policy accept;
{reject_rules}	}}
	chain forward {{
		type filter hook forward priority 0; policy accept;
		ct state invalid drop
	}}
	chain post {{
		type nat hook postrouting priority 100; policy accept;
		ct mark 0 return
{hairpins}{loopback}		ct mark & {KEEP:#x} != 0 return
{external}{masquerade}	}}
"""


def _snat(f: FamilyConstants) -> str:
    """Ports at random: two connections of one moment that got the same would lose a packet."""
    return f"snat {f.ip} to {f.node} fully-random"


def _sets(f: FamilyConstants) -> str:
    n, address = f.suffix, f.address_type
    return f"""\
	map fe{n} {{
		type {address} . inet_proto . inet_service : mark
	}}
	map np{n} {{
		type inet_proto . inet_service : mark
	}}
	map hp{n} {{
		type {address} . inet_proto . inet_service : mark
	}}
	map ep{n} {{
		type mark . mark : {address} . inet_service
	}}
	set lbsrc{n} {{
		type mark . {address}
		flags interval
	}}
	set hair{n} {{
		type {address} . {address}
	}}
	set pods{n} {{
		type {address}
		flags interval
		elements = {{ {f.pod_cidr} }}
	}}
	set cluster{n} {{
		type {address}
		flags interval
		elements = {{ {", ".join(f.cluster_cidrs or (f.pod_cidr,))} }}
	}}
	set cips{n} {{
		type {address}
		flags interval
		auto-merge
		elements = {{ {", ".join(f.guarded)} }}
	}}
"""


def _lookup(f: FamilyConstants) -> str:
    n, ip = f.suffix, f.ip
    return (
        f"\t\tct mark set {ip} daddr . meta l4proto . th dport map @fe{n}\n"
        f"\t\tct mark 0 {ip} daddr != {_LOOPBACK[f.version]} fib daddr type local "
        f"ct mark set meta l4proto . th dport map @np{n}\n"
        f"\t\tct mark 0 ct mark set {ip} daddr . meta l4proto . th dport map @hp{n}\n"
    )
