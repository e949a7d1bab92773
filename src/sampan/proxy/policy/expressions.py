"""Expressions of nf_tables rules as bytes (linux/netfilter/nf_tables.h). Pure.

A rule is a row of expressions; each reads and writes registers of four bytes, and the first that does not
hold ends the rule. Only what nft itself can write is put together here: version 1.0.6 aborts when it lists a
key of which one part was looked up in a map. So looked-up numbers ride on the packet, in its mark and its
priority, and are read back from there.
"""

from __future__ import annotations

import struct
from typing import Final

from sampan.proxy.nfnetlink import attribute, nested, number, text

REGISTERS: Final = 8
"""The first of sixteen."""

ACCEPT, DROP = 1, 0
_JUMP, _GOTO = -3, -4

_ITEM, _NAME, _DATA = 1, 1, 2
_VALUE, _VERDICT = 1, 2
_NETWORK, _TRANSPORT = 1, 2
_META_KEYS = {"priority": 2, "mark": 3, "nfproto": 15, "l4proto": 16}
_CT_STATE, _CT_MARK, _CT_PORT = 0, 3, 12
_CT_DESTINATION = {4: 20, 6: 22}
_ADDRESS_BYTES = {4: 4, 6: 16}
_SOURCE_AT, _DESTINATION_AT = {4: 12, 6: 8}, {4: 16, 6: 24}
_OPERATORS = {"==": 0, "!=": 1, "<=": 3, ">=": 5}
_ESTABLISHED, _RELATED = 2, 4
_UPDATE = 1


def _expression(name: str, data: bytes) -> bytes:
    return nested(_ITEM, text(_NAME, name) + nested(_DATA, data))


def source(version: int, register: int) -> bytes:
    """Loads the packet's source address; four registers if it is IPv6."""
    return _payload(register, _NETWORK, _SOURCE_AT[version], _ADDRESS_BYTES[version])


def destination(version: int, register: int) -> bytes:
    return _payload(register, _NETWORK, _DESTINATION_AT[version], _ADDRESS_BYTES[version])


def port(register: int) -> bytes:
    """Loads the destination port: what stands where TCP, UDP and SCTP have it."""
    return _payload(register, _TRANSPORT, 2, 2)


def icmp_type(register: int) -> bytes:
    return _payload(register, _TRANSPORT, 0, 1)


def meta(key: str, register: int) -> bytes:
    return _expression("meta", number(1, register) + number(2, _META_KEYS[key]))


def set_meta(key: str, register: int) -> bytes:
    """Writes `mark` or `priority` of the packet."""
    return _expression("meta", number(2, _META_KEYS[key]) + number(3, register))


def ct_mark(register: int) -> bytes:
    return _ct(register, _CT_MARK)


def first_destination(version: int, register: int) -> bytes:
    """Loads where the connection was meant to go before anybody translated it."""
    return _ct(register, _CT_DESTINATION[version], attribute(3, b"\0"))


def first_port(register: int) -> bytes:
    return _ct(register, _CT_PORT, attribute(3, b"\0"))


def constant(value: int, register: int) -> bytes:
    return _expression("immediate", number(1, register) + nested(2, _value(struct.pack("=I", value))))


def compare(register: int, operator: str, value: bytes) -> bytes:
    data = number(1, register) + number(2, _OPERATORS[operator]) + nested(3, _value(value))
    return _expression("cmp", data)


def known_flow(register: int) -> bytes:
    """Holds for packets of flows that conntrack knows, both ways, and for what is about them."""
    known = struct.pack("=I", _ESTABLISHED | _RELATED)
    numbers = number(1, register) + number(2, register) + number(3, 4)
    masked = numbers + nested(4, _value(known)) + nested(5, _value(bytes(4)))
    nothing = compare(register, "!=", bytes(4))
    return _ct(register, _CT_STATE) + _expression("bitwise", masked) + nothing


def found(set_name: str, register: int) -> bytes:
    """Holds if the set has what stands in the registers from this one on."""
    return _expression("lookup", text(1, set_name) + number(2, register))


def translated(map_name: str, register: int, into: int) -> bytes:
    """Puts the map's value for what stands there into another register; does not hold if it has none."""
    return _expression("lookup", text(1, map_name) + number(2, register) + number(3, into))


def noted(set_name: str, register: int) -> bytes:
    """Puts the key into a dynamic set, or gives it a new lease of life, and counts the packet there."""
    data = text(1, set_name) + number(3, _UPDATE) + number(4, register) + nested(7, counter())
    return _expression("dynset", data)


def verdict(code: int) -> bytes:
    return _verdict(number(1, code))


def jump(chain: str) -> bytes:
    return _verdict(number(1, _JUMP) + text(2, chain))


def goto(chain: str) -> bytes:
    return _verdict(number(1, _GOTO) + text(2, chain))


def counter() -> bytes:
    """What a set is told so that each of its elements counts."""
    return text(_NAME, "counter") + nested(_DATA, b"")


def _verdict(parts: bytes) -> bytes:
    return _expression("immediate", number(1, 0) + nested(2, nested(_VERDICT, parts)))


def _payload(register: int, base: int, offset: int, length: int) -> bytes:
    numbers = ((1, register), (2, base), (3, offset), (4, length))
    return _expression("payload", b"".join(number(kind, value) for kind, value in numbers))


def _ct(register: int, key: int, direction: bytes = b"") -> bytes:
    return _expression("ct", number(1, register) + number(2, key) + direction)


def _value(value: bytes) -> bytes:
    return attribute(_VALUE, value)
