"""How the fields of keys and values look on the wire (linux/netfilter/nf_tables.h). Pure.

They stand side by side, each padded to four bytes: addresses and ports big-endian, marks in the machine's
order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sampan.proxy.table import PROTOCOLS, Fields


class Field(NamedTuple):
    """How one kind of field looks on the wire."""

    width: int
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], str | int]


_PORT = struct.Struct(">H2x")
_MARK = struct.Struct("=I")
_PROTOCOL_BYTES: Mapping[str | int, bytes] = {
    name: bytes((number, 0, 0, 0)) for name, number in PROTOCOLS.items()
}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}

IP4 = Field(4, socket.inet_aton, socket.inet_ntoa)
IP6 = Field(16, partial(socket.inet_pton, socket.AF_INET6), partial(socket.inet_ntop, socket.AF_INET6))
PROTO = Field(4, _PROTOCOL_BYTES.__getitem__, lambda b: _PROTOCOL_NAMES.get(b[0], b[0]))
PORT = Field(4, _PORT.pack, lambda b: int(_PORT.unpack(b)[0]))
MARK = Field(4, _MARK.pack, lambda b: int(_MARK.unpack(b)[0]))


def width(fields: Sequence[Field]) -> int:
    return sum(field.width for field in fields)


def encoder(fields: Sequence[Field]) -> Callable[[Fields], bytes]:
    """What makes bytes of a key or value. Unrolled: thousands of elements go through it at a time."""
    encodes = [field.encode for field in fields]
    match encodes:
        case [first]:
            return lambda values: first(values[0])
        case [first, second]:
            return lambda values: first(values[0]) + second(values[1])
        case [first, second, third]:
            return lambda values: first(values[0]) + second(values[1]) + third(values[2])
    return lambda values: b"".join([encode(value) for encode, value in zip(encodes, values, strict=True)])


def decode(fields: Sequence[Field], data: bytes) -> Fields:
    values = []
    at = 0
    for field in fields:
        values.append(field.decode(data[at : at + field.width]))
        at += field.width
    return tuple(values)
