"""Chains that are made while packets flow, as nfnetlink messages (linux/netfilter/nf_tables.h). Pure.

One for each number of endpoints (`n3`), of seats to draw from (`d3`), and each affinity timeout (`t10800`);
what they say stands in `ruleset` and `affinity` as text. Each comes in the transaction that brings the first
element that leads to it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from sampan.proxy import affinity
from sampan.proxy.nfnetlink import APPEND, CREATE, attribute, nested, number, text
from sampan.proxy.table import KEY_MASK, LOCAL, STICKY, Element

NEW_CHAIN, NEW_RULE = 3, 6
PICK_CHAIN = "pick"
"""Where the chain of every count goes on, once it has put a slot number into the packet's mark."""

_ITEM, _VALUE, _VERDICT = 1, 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
GOTO, JUMP = -4, -3
_META_PROTOCOL, _META_MARK = 15, 3
_CT_MARK = 3
_RANDOM = 1
_UPDATE = 1
_NETWORK_HEADER = 1
_NETWORK_PROTOCOL = {4: 2, 6: 10}
_SOURCE_ADDRESS = {4: (12, 4), 6: (8, 16)}
_FIRST, _BESIDE, _SECOND = 1, 9, 2
"""Registers: the first of 16 bytes, the word after its first word, the second of 16 bytes."""


def made(element: Element, chain: str, families: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
    """Messages (kind, flags, body after the family header and the table) for the chain of a new element."""
    yield NEW_CHAIN, CREATE, text(3, chain)
    for expressions in _rules(element, families):
        yield NEW_RULE, CREATE | APPEND, text(2, chain) + nested(4, expressions)


def leap(chain: str, code: int) -> bytes:
    """A verdict that goes on in another chain."""
    return nested(_VERDICT, number(_VERDICT_CODE, code) + text(_VERDICT_CHAIN, chain))


def _rules(element: Element, families: Sequence[int]) -> Iterator[bytes]:
    count = int(element.key[0])
    if element.set == "draw":
        yield _random_slot(count)
    elif count < STICKY:
        yield _random_slot(count) + _immediate(leap(PICK_CHAIN, GOTO))
    else:
        yield _immediate(leap("seat", JUMP))
        for family in families:
            yield _remember(family, count - STICKY)
        yield _immediate(leap("seated", GOTO))


def _random_slot(count: int) -> bytes:
    """`meta mark set numgen random mod COUNT`."""
    return _expression("numgen", {1: _FIRST, 2: count, 3: _RANDOM}) + _expression(
        "meta", {2: _META_MARK, 3: _FIRST}
    )


def _remember(family: int, timeout_s: int) -> bytes:
    """`update @affN { ct mark & KIND . CLIENT timeout TIMEOUT : meta mark }`."""
    offset, length = _SOURCE_ADDRESS[family]
    hashed = family == 6
    source = _expression(
        "payload", {1: _SECOND if hashed else _BESIDE, 2: _NETWORK_HEADER, 3: offset, 4: length}
    )
    if hashed:
        source += _expression(
            "hash", {1: _SECOND, 2: _BESIDE, 3: length, 4: affinity.MODULUS, 5: affinity.SEED, 7: 0}
        )
    return (
        _expression("meta", {2: _META_PROTOCOL, 1: _FIRST})
        + _only(bytes((_NETWORK_PROTOCOL[family],)))
        + _expression("ct", {2: _CT_MARK, 1: _FIRST})
        + _masked(KEY_MASK | LOCAL)
        + source
        + _expression("meta", {2: _META_MARK, 1: _SECOND})
        + _item(
            "dynset",
            text(1, f"aff{family}")
            + number(3, _UPDATE)
            + number(4, _FIRST)
            + number(5, _SECOND)
            + attribute(6, struct.pack(">Q", timeout_s * 1000)),
        )
    )


def _only(value: bytes) -> bytes:
    """Goes on if the first register has this value."""
    return _item("cmp", number(1, _FIRST) + number(2, 0) + nested(3, attribute(_VALUE, value)))


def _masked(mask: int) -> bytes:
    data = nested(4, attribute(_VALUE, struct.pack("=I", mask)))
    return _item(
        "bitwise",
        number(1, _FIRST) + number(2, _FIRST) + number(3, 4) + data + nested(5, attribute(_VALUE, bytes(4))),
    )


def _immediate(verdict: bytes) -> bytes:
    return _item("immediate", number(1, 0) + nested(2, verdict))


def _expression(name: str, numbers: Mapping[int, int]) -> bytes:
    return _item(name, b"".join(number(kind, value) for kind, value in numbers.items()))


def _item(name: str, data: bytes) -> bytes:
    return nested(_ITEM, text(1, name) + nested(2, data))
