"""Answers written down. Pure.

Names are compressed against the question alone, which nearly all names in an answer share their end with.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from sampan.dns.question import Query
from sampan.dns.wire import (
    AA,
    CD,
    CLASS_IN,
    HEADER,
    HEADER_BYTES,
    MAX_UDP_BYTES,
    OPCODE,
    OPT,
    QR,
    RA,
    RD,
    TC,
    Record,
    encode_name,
)


def build_answer(
    query: Query,
    rcode: int,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    *,
    authoritative: bool = True,
    limit: int | None = None,
) -> bytes:
    """The whole message. Of one longer than `limit` bytes, additional records go first, without a word
    (RFC 2181, 9); then as many answers as do not fit, and TC tells the asker to come by TCP."""
    flags = QR | RA | (query.flags & (RD | CD)) | (AA if authoritative else 0) | (rcode & 15)
    opt = encode_opt(query, rcode)
    room = (limit or 0xFFFF) - HEADER_BYTES - len(query.question) - len(opt)
    names = _Names(query)
    answered = [names.record(record) for record in answers]
    decided = [names.record(record) for record in authority]
    added = [names.record(record) for record in additional]
    room -= sum(map(len, answered)) + sum(map(len, decided))
    if room < 0:
        flags |= TC
        decided, added = [], []
        room += sum(len(names.record(record)) for record in authority)
        while answered and room < 0:
            room += len(answered.pop())
    elif added and sum(map(len, added)) > room:
        added = []
    counts = (1, len(answered), len(decided), len(added) + query.edns)
    header = HEADER.pack(query.id, flags, *counts)
    return b"".join((header, query.question, *answered, *decided, *added, opt))


def encode_opt(query: Query, rcode: int = 0) -> bytes:
    """Our OPT record, for askers that sent one."""
    if not query.edns:
        return b""
    ttl = (rcode >> 4) << 24 | (0x8000 if query.dnssec else 0)
    return b"\x00" + struct.pack("!HHIH", OPT, MAX_UDP_BYTES, ttl, 0)


def build_failure(packet: bytes, rcode: int) -> bytes:
    """An answer to a packet whose question could not be read: its header, and the code."""
    ident, flags = struct.unpack_from("!HH", packet)
    return HEADER.pack(ident, QR | RA | (flags & (RD | OPCODE)) | rcode, 0, 0, 0, 0)


class _Names:
    """The names of one message: each one's longest end that the question has too is a pointer to it."""

    def __init__(self, query: Query) -> None:
        self._name = query.name
        self._known = {query.name: struct.pack("!H", 0xC000 | HEADER_BYTES)} if query.name else {}
        self._ends: dict[str, int] = {}

    def record(self, record: Record) -> bytes:
        owner = self._known.get(record.name)
        if owner is None:
            owner = self._known[record.name] = self._encode(record.name)
        return (
            owner + struct.pack("!HHIH", record.type, CLASS_IN, record.ttl_s, len(record.data)) + record.data
        )

    def _encode(self, name: str) -> bytes:
        if not self._ends:
            self._ends = _ends(self._name)
        encoded, rest = b"", name
        while rest:
            at = self._ends.get(rest)
            if at is not None:
                return encoded + struct.pack("!H", 0xC000 | at)
            label, _, rest = rest.partition(".")
            if "\\" in label:
                return encode_name(name)
            encoded += bytes((len(label),)) + label.encode("latin-1")
        return encoded + b"\x00"


def _ends(name: str) -> dict[str, int]:
    """Where in a message whose question has this name each end of it begins."""
    found, at = {}, HEADER_BYTES
    while name:
        found[name] = at
        label, _, name = name.partition(".")
        at += 1 + len(label)
        if "\\" in label:  # an escaped dot: nothing of ours ends like that
            break
    return found
