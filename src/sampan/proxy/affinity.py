"""Session affinity in the kernel, as nft text: which client goes to which seat, kept by the packets alone.

`aff` remembers (service port, client) -> seat, for as long as the Service says since the client last came;
`live` tells whether that seat is still taken. A client of a dead seat is forgotten, draws a new one and is
remembered again: an update alone would keep the old seat, because it never changes what is there. So no
endpoint that goes needs a look at the clients it had. There is a chain for each timeout in use (`t10800`) and
one for each number of seats (`d3`); both are made on demand (`chains`).

IPv6 clients are remembered by a hash of 32 bits, which fits a register beside the key: two of them that
should share one go to the same Pod. (A key of 20 bytes in such a statement aborts nft 1.0.6.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sampan.proxy.table import KEY_MASK, LOCAL, STICKY, TABLE, Fields

KIND = f"ct mark & {KEY_MASK | LOCAL:#x}"
"""The mark of the service port, as `svc` and `ep` know it: without what is said about the way in."""
CLIENTS = 262_144
"""Beyond so many remembered clients a node remembers no new ones."""
CARRIED = 50_000
"""So many are carried from one version of the rules to the next."""
NOBODY = 0x7FFFFFFF
MODULUS, SEED = 0x7FFFFFFF, 0x5A3B
"""Of the hash of an IPv6 client. Without a seed each rule would have one of its own."""
_CLIENT = {4: "ip saddr", 6: f"jhash ip6 saddr mod {MODULUS} seed {SEED:#x}"}
_LOOKUP = {
    4: f"\t\tmeta mark set {KIND} . ip saddr map @aff4\n",
    6: f"\t\tmeta mark set {_CLIENT[6]}\n\t\tmeta mark set {KIND} . meta mark map @aff6\n",
}
_CLIENT_TYPE = {4: "ipv4_addr", 6: "mark"}


class Client(NamedTuple):
    """Somebody the kernel remembers. `key`: service port, and an address or its hash."""

    set: str
    key: Fields
    seat: int
    timeout_ms: int
    left_ms: int


def clients_text(clients: Iterable[Client]) -> str:
    """Lines that make a new table remember them: those that came last, if there are very many."""
    latest = sorted(clients, key=lambda client: client.left_ms, reverse=True)[:CARRIED]
    by_set: dict[str, list[str]] = {}
    for name, key, seat, timeout_ms, left_ms in latest:
        times = f"timeout {timeout_ms}ms expires {left_ms}ms"
        by_set.setdefault(name, []).append(f"{key[0]} . {key[1]} {times} : {seat}")
    return "".join(
        f"add element inet {TABLE} {name} {{ {', '.join(entries)} }}\n" for name, entries in by_set.items()
    )


def chain_of(number: int) -> str:
    """The chain that a class leads to."""
    return f"t{number - STICKY}" if number >= STICKY else f"n{number}"


def text(families: Sequence[int], dnat: str, timeouts: Iterable[int], counts: Iterable[int]) -> str:
    """Sets and chains. `dnat`: the rules that lead to the seat in the packet's mark."""
    draws = sorted(counts)
    drawn = "".join(
        f"\tchain d{count} {{\n\t\tmeta mark set numgen random mod {count}\n\t}}\n" for count in draws
    )
    verdicts = ", ".join(f"{count} : jump d{count}" for count in draws)
    elements = f"\n\t\telements = {{ {verdicts} }}" if verdicts else ""
    lookups = "".join(_LOOKUP[n] for n in families)
    forget = "".join(f"\t\tdelete @aff{n} {{ {KIND} . {_CLIENT[n]} : meta mark }}\n" for n in families)
    take_first = f"\t\tmeta mark set 0\n\t\tmeta mark set {KIND} . meta mark map @pick\n"
    return f"""\
{"".join(_clients(n) for n in families)}\
	map cnt {{
		type mark : mark
	}}
	map pick {{
		type mark . mark : mark
	}}
	set live {{
		type mark . mark
	}}
{drawn}	map draw {{
		type mark : verdict{elements}
	}}
	chain seat {{
		meta mark set {NOBODY:#x}
{lookups}		{KIND} . meta mark @live return
{forget}		meta mark set 0
		meta mark set {KIND} map @cnt
		meta mark vmap @draw
		meta mark set {KIND} . meta mark map @pick
		{KIND} . meta mark @live return
{take_first}	}}
	chain seated {{
{dnat}{take_first}{dnat}	}}
{"".join(_remembering(families, timeout) for timeout in sorted(timeouts))}"""


def _clients(family: int) -> str:
    return f"""\
	map aff{family} {{
		type mark . {_CLIENT_TYPE[family]} : mark
		flags dynamic,timeout
		size {CLIENTS}
	}}
"""


def _remembering(families: Sequence[int], timeout_s: int) -> str:
    updates = "".join(
        f"\t\tupdate @aff{n} {{ {KIND} . {_CLIENT[n]} timeout {timeout_s}s : meta mark }}\n" for n in families
    )
    return f"\tchain t{timeout_s} {{\n\t\tjump seat\n{updates}\t\tgoto seated\n\t}}\n"
