"""What rules do with a packet: walks a table as `nft -j list` gives it, rules and elements.

Only what our rules consist of is known; anything else is an error, so a new kind of rule cannot be passed
over in silence. Where the kernel draws a number, all that it may draw are tried: the answer is every outcome
that is possible. Packets are the first of their flow, and there are no earlier flows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

Json: TypeAlias = Any
Fields: TypeAlias = tuple[Any, ...]
Value: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Packet:
    """The first of a flow. `from_node`: made by the node itself, not received by it."""

    source: str
    destination: str
    protocol: str
    port: int
    from_node: bool = False

    @property
    def version(self) -> int:
        return ip_address(self.destination).version


class Outcome(NamedTuple):
    """`what`: passed, dropped or rejected; where to and from whom, after translation."""

    what: str
    address: str = ""
    port: int = 0
    source: str = ""


class _Chain(NamedTuple):
    hook: str
    priority: int
    is_nat: bool
    rules: list[list[Json]]


class _Final(Exception):
    def __init__(self, what: str) -> None:
        self.what = what


class _NoMatch(Exception):
    """The rule ends here; the next one goes on."""


class _Return(Exception):
    """Back to the chain that jumped here."""


class _Goto(Exception):
    def __init__(self, chain: str) -> None:
        self.chain = chain


class Ruleset:
    """`listing` is the output of `nft -j list table`; `local`: the addresses that are the node's own."""

    def __init__(self, listing: str, local: frozenset[str]) -> None:
        self.local = local
        self.chains: dict[str, _Chain] = {}
        self.sets: dict[str, dict[Fields, Fields]] = {}
        self.ranges: dict[str, dict[Fields, Fields]] = {}
        """Those elements of the sets that are for more than one address."""
        for entry in json.loads(listing)["nftables"]:
            if found := entry.get("chain"):
                hook, is_nat = found.get("hook", ""), found.get("type") == "nat"
                self.chains[found["name"]] = _Chain(hook, found.get("prio", 0), is_nat, [])
            elif found := entry.get("rule"):
                self.chains[found["chain"]].rules.append(found["expr"])
            elif found := entry.get("set") or entry.get("map"):
                self.sets[found["name"]] = held = dict(_elements(found))
                self.ranges[found["name"]] = {
                    key: value for key, value in held.items() if any(isinstance(part, Range) for part in key)
                }

    def outcomes(self, packet: Packet) -> set[Outcome]:
        """Everything that may become of the packet."""
        found: set[Outcome] = set()
        draws: list[tuple[int, int]] = []
        while True:
            walk = _Walk(self, packet, draws)
            found.add(walk.outcome())
            draws = walk.draws
            while draws and draws[-1][0] == draws[-1][1] - 1:
                draws.pop()
            if not draws:
                return found
            draws[-1] = (draws[-1][0] + 1, draws[-1][1])


@dataclass
class _Walk:
    rules: Ruleset
    packet: Packet
    draws: list[tuple[int, int]]
    """(drawn, of how many), in order; what lies beyond the given ones is drawn as 0."""
    drawn: int = 0
    mark: int = 0
    ct_mark: int = 0
    dnat: bool = False
    translated_source: str = ""

    def outcome(self) -> Outcome:
        try:
            self._hook("output" if self.packet.from_node else "prerouting")
            arrived = self.packet.destination in self.rules.local and not self.packet.from_node
            if arrived:
                self._hook("input")
            else:
                if not self.packet.from_node:
                    self._hook("forward")
                self._hook("postrouting")
        except _Final as final:
            return Outcome(final.what)
        return Outcome("passed", self.packet.destination, self.packet.port, self.packet.source)

    def _hook(self, hook: str) -> None:
        based = [chain for chain in self.rules.chains.values() if chain.hook == hook]
        for chain in sorted(based, key=lambda chain: chain.priority):
            try:
                self._rules(chain.rules)
            except _Goto as goto:
                self._gone_to(goto.chain)
            except _Return:
                continue
            except _Final as final:
                if final.what != "accept":
                    raise
        if self.translated_source:
            self.packet = replace(self.packet, source=self.translated_source)

    def _gone_to(self, name: str) -> None:
        """A chain from which nobody comes back; it may go on to others."""
        while True:
            try:
                self._rules(self.rules.chains[name].rules)
            except _Goto as goto:
                name = goto.chain
            except _Return:
                return
            else:
                return

    def _rules(self, rules: Sequence[list[Json]]) -> None:
        for rule in rules:
            try:
                for statement in rule:
                    if isinstance(statement, str):
                        assert statement.startswith(REMEMBERS), statement
                        continue
                    ((kind, body),) = statement.items()
                    STATEMENTS[kind](self, body)
            except _NoMatch:
                continue

    def jump(self, name: str) -> None:
        try:
            self._rules(self.rules.chains[name].rules)
        except _Return:
            return
        except _Goto as goto:
            self._gone_to(goto.chain)

    def draw(self, of: int) -> int:
        if self.drawn == len(self.draws):
            self.draws.append((0, of))
        number, expected = self.draws[self.drawn]
        assert expected == of
        self.drawn += 1
        return number

    def match(self, body: Json) -> None:
        left, right, op = self.value(body["left"]), body["right"], body["op"]
        if op == "!":
            matches = not (left & _bits(right))
        elif op == "in":
            matches = right in left
        elif op in ("<", "<=", ">", ">="):
            matches = _COMPARE[op](left, self.value(right))
        else:
            matches = self._equal(left, right) == (op == "==")
        if not matches:
            raise _NoMatch

    def _equal(self, left: Value, right: Json) -> bool:
        if isinstance(right, str) and right.startswith("@"):
            return self.find(right, left) is not None
        if isinstance(right, dict) and "set" in right:
            return any(self._equal(left, member) for member in right["set"])
        if isinstance(right, dict) and "prefix" in right:
            return _covers(*_fields(right), left)
        return bool(left == self.value(right))

    def find(self, name: str, key: Value) -> Fields | None:
        wanted = key if isinstance(key, tuple) else (key,)
        name = name.removeprefix("@")
        found = self.rules.sets[name].get(wanted)
        if found is not None:
            return found
        ranges = self.rules.ranges[name].items()
        return next((value for key, value in ranges if all(map(_covers, key, wanted))), None)

    def value(self, expression: Json) -> Value:
        if not isinstance(expression, dict):
            return expression
        ((kind, body),) = expression.items()
        return EXPRESSIONS[kind](self, body)

    def mangle(self, body: Json) -> None:
        ((place, what),) = body["key"].items()
        value = self.value(body["value"])
        if place == "ct" and what["key"] == "mark":
            self.ct_mark = value
        elif place == "meta" and what["key"] == "mark":
            self.mark = value
        else:
            raise NotImplementedError(body)

    def vmap(self, body: Json) -> None:
        found = self.find(body["data"], self.value(body["key"]))
        if found is None:
            raise _NoMatch
        verdict, chain = found
        STATEMENTS[str(verdict)](self, {"target": chain})

    def translate_destination(self, body: Json) -> None:
        if (body["family"] == "ip6") != (self.packet.version == 6):
            raise _NoMatch
        address, port = self.value(body["addr"])
        self.packet = replace(self.packet, destination=address, port=port)
        self.dnat = True
        raise _Final("accept")

    def translate_source(self, body: Json) -> None:
        self.translated_source = self.value(body["addr"])
        raise _Final("accept")

    def payload(self, body: Json) -> Value:
        protocol, name = body["protocol"], body["field"]
        if protocol in ("ip", "ip6") and (protocol == "ip6") != (self.packet.version == 6):
            raise _NoMatch
        if name == "sport":
            return 40_000
        return {"saddr": self.packet.source, "daddr": self.packet.destination, "dport": self.packet.port}[
            name
        ]

    def meta(self, body: Json) -> Value:
        packet = self.packet
        interface = "lo" if packet.from_node else "veth"
        return {
            "mark": self.mark,
            "l4proto": packet.protocol,
            "nfproto": f"ipv{packet.version}",
            "iif": interface,
            "iifname": interface,
        }[body["key"]]

    def hashed(self, body: Json) -> int:
        """Any hash will do that is the same for the same."""
        return int(crc32(str(self.value(body["expr"])).encode()) % body["mod"])

    def ct(self, body: Json) -> Value:
        known = {"mark": self.ct_mark, "state": ["new"], "status": _bits("dnat") if self.dnat else 0}
        return known[body["key"]]

    def fib(self, body: Json) -> str:
        flags = body["flags"]
        asked = self.packet.source if "saddr" in flags else self.packet.destination
        assert body["result"] == "type", body
        return "local" if asked in self.rules.local or asked.startswith("127.") else "unicast"

    def looked_up(self, body: Json) -> Value:
        found = self.find(body["data"], self.value(body["key"]))
        if found is None:
            raise _NoMatch
        return found if len(found) > 1 else found[0]


def _final(what: str) -> Callable[[_Walk, Json], None]:
    def end(walk: _Walk, body: Json) -> None:
        raise _Final(what)

    return end


def _return(walk: _Walk, body: Json) -> None:
    raise _Return


def _goto(walk: _Walk, body: Json) -> None:
    raise _Goto(body["target"])


def _nothing(walk: _Walk, body: Json) -> None:
    return


STATEMENTS: Mapping[str, Callable[[_Walk, Json], None]] = {
    "match": _Walk.match,
    "mangle": _Walk.mangle,
    "vmap": _Walk.vmap,
    "dnat": _Walk.translate_destination,
    "snat": _Walk.translate_source,
    "jump": lambda walk, body: walk.jump(body["target"]),
    "goto": _goto,
    "return": _return,
    "accept": _final("accept"),
    "drop": _final("dropped"),
    "reject": _final("rejected"),
    "counter": _nothing,
}
REMEMBERS = ("update @aff", "delete @aff")
"""Rules that change a set by themselves, listed as text: passed over, for no flow came before."""

EXPRESSIONS: Mapping[str, Callable[[_Walk, Json], Value]] = {
    "payload": _Walk.payload,
    "meta": _Walk.meta,
    "ct": _Walk.ct,
    "fib": _Walk.fib,
    "map": _Walk.looked_up,
    "jhash": _Walk.hashed,
    "numgen": lambda walk, body: walk.draw(body["mod"]) + body["offset"],
    "concat": lambda walk, body: tuple(walk.value(part) for part in body),
    "&": lambda walk, body: walk.value(body[0]) & walk.value(body[1]),
    "|": lambda walk, body: walk.value(body[0]) | walk.value(body[1]),
}

_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _bits(names: Json) -> int:
    return {"dnat": 0x20, "snat": 0x10}[names]


class Range(NamedTuple):
    first: int
    last: int
    version: int


def _covers(candidate: Value, wanted: Value) -> bool:
    if not isinstance(candidate, Range):
        return bool(candidate == wanted)
    address = ip_address(wanted)
    return address.version == candidate.version and candidate.first <= int(address) <= candidate.last


def _elements(listed: Json) -> Iterator[tuple[Fields, Fields]]:
    for entry in listed.get("elem", ()):
        key, value = entry if "map" in listed else (entry, ())
        yield _fields(key), _fields(value) if value != () else ()


def _fields(found: Json) -> Fields:
    """One key or value; a verdict as (what, chain)."""
    if isinstance(found, dict):
        ((kind, body),) = found.items()
        if kind == "concat":
            return tuple(field for part in body for field in _fields(part))
        if kind == "prefix":
            network = ip_network(f"{body['addr']}/{body['len']}")
            return (Range(int(network[0]), int(network[-1]), network.version),)
        if kind == "range":
            first, last = map(ip_address, body)
            return (Range(int(first), int(last), first.version),)
        if kind == "elem":
            return _fields(body["val"])
        if kind in ("goto", "jump"):
            return (kind, body["target"])
        raise NotImplementedError(found)
    return (found,)
