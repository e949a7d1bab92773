"""The static part of a node's network policies: sets, chains and rules that never change. Pure.

Everything is looked up by numbers. A local Pod that policies isolate has a class for each direction (Pods
under the same rules share one), every peer that some rule speaks of has an identity (Pods that the same
selectors select share one, so has a range of addresses that the same ipBlocks hold), and `allow` says which
class may talk to which identity at which port. So one Pod more is one to six elements, whatever the number of
policies; and a Pod that nothing isolates costs a new flow one look-up that fails.

| set | key | value | says |
|---|---|---|---|
| in4, eg4 | address | class | a local Pod that is isolated for ingress, for egress |
| id4 | address | identity | a Pod that rules speak of |
| net4 | first to last address | identity | addresses that ipBlocks speak of |
| peers | class, identity | | may pass, whatever it is |
| protos | class, identity, proto | | may pass at all ports |
| allow | class, identity, proto, port | | may pass at this port |
| spans | class, identity | span | may pass at ranges of ports |
| ports | first to last port | piece | ports that ranges speak of |
| span | span, proto, piece | | what the ranges are made of |
| self4 | address, address | | a Pod and itself |
| node4 | address | | this node |
| dropin4, dropeg4 | address | | counts what was dropped on its way to the Pod, from the Pod |
| lostin4, losteg4 | source, destination, proto, port | | who was refused lately, as the kernel noted it |

Hooks: what is forwarded is seen after DNAT and before SNAT, so both ends are the real ones. What Pods send to
the node itself comes in by the input hook: cluster DNS and the API server stand there, and the way to the
world outside is a relay to which connections are redirected; for these the connection's first destination
counts. What was meant for one of the node's own addresses passes, as upstream has it of a Pod and its node.
What the node sends to its Pods passes no hook of ours, so probes always get through.

The packet's priority carries the class, its mark the identity, while it is judged; both are 0 afterwards.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from sampan.proxy.nfnetlink import APPEND, CREATE, INET, attribute, family, nested, number, text
from sampan.proxy.policy import expressions as ex

TABLE = "sampan-policy"
ANYONE = 1
"""The identity of whoever it is."""
LOST_FOR_S = 600
_LOST_SIZE = 512
_PRIORITY = 10
"""After whatever else filters: a packet that somebody drops anyway is not ours to count."""

_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_SET = 0, 2, 3, 6, 9
_INPUT, _FORWARD = 1, 2
_INTERVAL, _MAP, _TIMEOUT, _EVAL = 0x04, 0x08, 0x10, 0x20
_ADDRESS = {4: (7, 4), 6: (8, 16)}
_HOST_ORDER = bytes((1, 4)) + struct.pack("=I", 1)
"""A note for nft's listings: values are numbers in the machine's order."""
_PROTO, _PORT, _MARK = (12, 4), (13, 4), (19, 4)
"""Type number in nft's listings, and bytes that a field takes."""

FAMILIES = (4, 6)
_NFPROTO = {4: bytes((2,)), 6: bytes((10,))}
_IGMP, _ICMPV6 = bytes((2,)), bytes((58,))

Message = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class SetPlan:
    """One set or, with `value`, map."""

    name: str
    key: tuple[tuple[int, int], ...]
    value: bool = False
    interval: bool = False
    counts: bool = False
    lasts_s: int = 0


def sets() -> Iterator[SetPlan]:
    for version in FAMILIES:
        address = _ADDRESS[version]
        for name in ("in", "eg", "id"):
            yield SetPlan(f"{name}{version}", (address,), value=True)
        yield SetPlan(f"net{version}", (address,), value=True, interval=True)
        yield SetPlan(f"self{version}", (address, address))
        yield SetPlan(f"node{version}", (address,))
        for direction in ("in", "eg"):
            yield SetPlan(f"drop{direction}{version}", (address,), counts=True)
            lost = (address, address, _PROTO, _PORT)
            yield SetPlan(f"lost{direction}{version}", lost, lasts_s=LOST_FOR_S)
    yield SetPlan("peers", (_MARK, _MARK))
    yield SetPlan("protos", (_MARK, _MARK, _PROTO))
    yield SetPlan("allow", (_MARK, _MARK, _PROTO, _PORT))
    yield SetPlan("spans", (_MARK, _MARK), value=True)
    yield SetPlan("ports", (_PORT,), value=True, interval=True)
    yield SetPlan("span", (_MARK, _PROTO, _MARK))


@cache
def version_chain() -> str:
    """The name of an empty chain that tells one ruleset from another."""
    digest = hashlib.sha256()
    for message in _contents():
        digest.update(repr(message).encode())
    return f"version_{digest.hexdigest()[:12]}"


def messages() -> Iterator[Message]:
    """Replace whatever table there was by the empty sets and all rules; to be sent as one batch."""
    head = family(INET) + text(1, TABLE)
    yield _NEW_TABLE, CREATE, head
    yield _DELETE_TABLE, 0, head
    yield _NEW_TABLE, CREATE, head
    yield _NEW_CHAIN, CREATE, head + text(3, version_chain())
    yield from _contents()


def _contents() -> Iterator[Message]:
    head = family(INET) + text(1, TABLE)
    for serial, planned in enumerate(sets(), 1):
        yield _NEW_SET, CREATE, head + _set(planned, serial)
    chains = dict(_chains())
    for name in chains:
        yield _NEW_CHAIN, CREATE, head + text(3, name)
    for name, rules in chains.items():
        for rule in rules:
            yield _rule(name, rule)
    for name, hook in (("forward", _FORWARD), ("input", _INPUT)):
        where = number(1, hook) + number(2, _PRIORITY)
        yield _NEW_CHAIN, CREATE, head + text(3, name) + nested(4, where) + number(5, 1) + text(7, "filter")
        yield _rule(name, ex.known_flow(ex.REGISTERS) + ex.verdict(ex.ACCEPT))
        for version in FAMILIES:
            proto = ex.meta("nfproto", ex.REGISTERS) + ex.compare(ex.REGISTERS, "==", _NFPROTO[version])
            yield _rule(name, proto + ex.jump(f"{name}{version}"))


def _rule(chain: str, expressions: bytes) -> Message:
    body = family(INET) + text(1, TABLE) + text(2, chain) + nested(4, expressions)
    return _NEW_RULE, CREATE | APPEND, body


def _set(planned: SetPlan, serial: int) -> bytes:
    kind = flags = 0
    for type_number, _ in planned.key:
        kind = kind << 6 | type_number
    flags |= _INTERVAL * planned.interval | _MAP * planned.value
    if planned.lasts_s:
        flags |= _TIMEOUT | _EVAL
    length = sum(width for _, width in planned.key)
    if planned.key == (_PORT,):
        length = 2
    body = text(2, planned.name) + number(3, flags) + number(4, kind) + number(5, length) + number(10, serial)
    if planned.value:
        body += number(6, _MARK[0]) + number(7, _MARK[1]) + attribute(13, _HOST_ORDER)
    if planned.lasts_s:
        body += attribute(11, struct.pack(">Q", planned.lasts_s * 1000)) + nested(9, number(1, _LOST_SIZE))
    if planned.counts:
        body += nested(17, ex.counter())
    return body


# --- chains -------------------------------------------------------------------------------------------------

_R = ex.REGISTERS
_PASSED = "passed"


class _Far(NamedTuple):
    """The end of a connection that is not the Pod, as expressions that load it."""

    address: bytes
    port: Callable[[int], bytes]


def _chains() -> Iterator[tuple[str, list[bytes]]]:
    """Regular chains, each after those it leads to."""
    yield _PASSED, [_put("mark", ex.constant(0, _R)) + _put("priority", ex.constant(0, _R))]
    for version in FAMILIES:
        source, destination = ex.source(version, _R), ex.destination(version, _R)
        here, there = _Far(source, ex.port), _Far(destination, ex.port)
        meant = _Far(ex.first_destination(version, _R), ex.first_port)
        width = _ADDRESS[version][1] // 4
        from_isolated = source + ex.found(f"eg{version}", _R)
        to_isolated = destination + ex.found(f"in{version}", _R)
        to_node = meant.address + ex.found(f"node{version}", _R)
        served = ex.ct_mark(_R) + ex.compare(_R, "!=", bytes(4))
        both = source + ex.destination(version, _R + width)
        yield (
            f"ingress{version}",
            [*_judge(version, "in", destination, here), *_drop(version, "in", both, there)],
        )
        yield f"egress{version}", [*_judge(version, "eg", source, there), *_drop(version, "eg", both, there)]
        far = source + ex.first_destination(version, _R + width)
        yield f"outward{version}", [*_judge(version, "eg", source, meant), *_drop(version, "eg", far, meant)]
        yield (
            f"forward{version}",
            [
                both + ex.found(f"self{version}", _R) + ex.verdict(ex.ACCEPT),
                from_isolated + ex.jump(f"egress{version}"),
                to_isolated + ex.jump(f"ingress{version}"),
            ],
        )
        yield (
            f"input{version}",
            [
                _neighbourly(version),
                from_isolated + to_node + ex.verdict(ex.ACCEPT),
                served + from_isolated + ex.goto(f"egress{version}"),
                from_isolated + ex.goto(f"outward{version}"),
            ],
        )


def _neighbourly(version: int) -> bytes:
    """What keeps a link alive is no traffic of the Pod: group membership, and neighbours asked for."""
    if version == 4:
        return ex.meta("l4proto", _R) + ex.compare(_R, "==", _IGMP) + ex.verdict(ex.ACCEPT)
    kind = ex.icmp_type(_R) + ex.compare(_R, ">=", bytes((130,))) + ex.compare(_R, "<=", bytes((143,)))
    return ex.meta("l4proto", _R) + ex.compare(_R, "==", _ICMPV6) + kind + ex.verdict(ex.ACCEPT)


def _judge(version: int, direction: str, pod: bytes, far: _Far) -> Iterator[bytes]:
    """Leaves for `passed` if the Pod's class allows whoever is at the far end."""
    of_class = _put("priority", pod + ex.translated(f"{direction}{version}", _R, _R))
    nobody = _put("mark", ex.constant(0, _R))
    of_pod = _put("mark", far.address + ex.translated(f"id{version}", _R, _R))
    of_network = _put("mark", far.address + ex.translated(f"net{version}", _R, _R))
    of_anyone = _put("mark", ex.constant(ANYONE, _R))
    two = ex.meta("priority", _R) + ex.meta("mark", _R + 1)
    three = two + ex.meta("l4proto", _R + 2)
    pass_on = ex.goto(_PASSED)
    anything = two + ex.found("peers", _R) + pass_on
    any_port = three + ex.found("protos", _R) + pass_on
    exactly = three + far.port(_R + 3) + ex.found("allow", _R) + pass_on
    yield of_class + nobody
    for who in (of_pod, of_network, of_anyone):
        yield who
        yield exactly
        if who is not of_anyone:  # a Pod that anyone may reach with anything is not isolated
            yield anything
        yield any_port
        yield nobody
    in_span = (
        _put("mark", two + ex.translated("spans", _R, _R))
        + _put("priority", far.port(_R) + ex.translated("ports", _R, _R))
        + ex.meta("mark", _R)
        + ex.meta("l4proto", _R + 1)
        + ex.meta("priority", _R + 2)
        + ex.found("span", _R)
        + pass_on
    )
    for who in (of_pod, of_network, of_anyone):
        yield of_class + who + in_span


def _drop(version: int, direction: str, both: bytes, far: _Far) -> Iterator[bytes]:
    """Counts the packet, notes who is refused, and drops it. Each by itself: the note may find no room."""
    pod = ex.source(version, _R) if direction == "eg" else ex.destination(version, _R)
    yield pod + ex.found(f"drop{direction}{version}", _R)
    width = _ADDRESS[version][1] // 4
    rest = ex.meta("l4proto", _R + 2 * width) + far.port(_R + 2 * width + 1)
    yield both + rest + ex.noted(f"lost{direction}{version}", _R)
    yield ex.verdict(ex.DROP)


def _put(key: str, value: bytes) -> bytes:
    """Writes what `value` leaves in the first register."""
    return value + ex.set_meta(key, _R)
