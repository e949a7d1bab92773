"""What another resolver answered, read so far that it can be checked, kept by its TTLs and passed on. Pure.

The message is passed on as it came: names in it point at each other by place, so nothing before the end may
move. Only its OPT record, which is between that resolver and us, is cut away, with what little may follow it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from sampan.dns.message import encode_opt
from sampan.dns.question import Query
from sampan.dns.wire import (
    AA,
    AD,
    CD,
    CNAME,
    FORMERR,
    HEADER,
    HEADER_BYTES,
    MX,
    NOERROR,
    NS,
    NXDOMAIN,
    OPT,
    PTR,
    QR,
    RA,
    RD,
    SOA,
    SRV,
    TC,
    Malformed,
    Record,
    encode_name,
    read_name,
)

_NAME_AFTER = {CNAME: 0, NS: 0, PTR: 0, MX: 2, SRV: 6}
"""Types whose data may hold a compressed name, and the bytes before it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`message`: without an OPT record. `ttl_s`: how long it may be kept by what it says itself; 0: not."""

    message: bytes
    question: bytes
    flags: int
    ttl_s: int
    ttl_places: tuple[int, ...] = field(repr=False, default=())
    answers: int = 0

    @property
    def rcode(self) -> int:
        return self.flags & 15

    @property
    def truncated(self) -> bool:
        return bool(self.flags & TC)

    @property
    def denies(self) -> bool:
        """NXDOMAIN, or nothing of the type asked for."""
        return self.rcode == NXDOMAIN or not self.answers


def parse_reply(packet: bytes) -> Reply:
    """Raises Malformed."""
    if len(packet) < HEADER_BYTES:
        raise Malformed(None, "shorter than a header")
    _, flags, questions, answers, authorities, additional = HEADER.unpack_from(packet)
    if not flags & QR or questions != 1:
        raise Malformed(None, "no answer to one question")
    _, at = read_name(packet, HEADER_BYTES)
    at += 4
    question = packet[HEADER_BYTES:at]
    places: list[int] = []
    positive: list[int] = []
    negative = 0
    kept = 0
    for number in range(answers + authorities + additional):
        begin = at
        _, at = read_name(packet, at)
        if at + 10 > len(packet):
            raise Malformed(FORMERR, "cut off")
        kind, _, ttl_s, length = struct.unpack_from("!HHIH", packet, at)
        if kind == OPT:
            packet = packet[:begin]
            break
        places.append(at + 4)
        ttl_s = ttl_s if ttl_s < 0x80000000 else 0
        at += 10 + length
        if at > len(packet):
            raise Malformed(FORMERR, "cut off")
        kept += 1
        if number < answers:
            positive.append(ttl_s)
        elif kind == SOA and length >= 20:
            negative = min(ttl_s, *struct.unpack_from("!I", packet, at - 4))
    counts = (
        min(kept, answers),
        max(0, min(kept - answers, authorities)),
        max(0, kept - answers - authorities),
    )
    message = packet[:4] + struct.pack("!HHHH", 1, *counts) + packet[HEADER_BYTES:at]
    denies = flags & 15 == NXDOMAIN or not answers
    keep_s = negative if denies else min(positive)
    if flags & 15 not in (NOERROR, NXDOMAIN) or flags & TC:
        keep_s = 0
    return Reply(message, question, flags, keep_s, tuple(places), counts[0])


def pass_on(
    reply: Reply, query: Query, *, age_s: int = 0, ttl_s: int | None = None, limit: int | None = None
) -> bytes:
    """The answer for `query`, whose question is the reply's but for letter case.

    TTLs are less by `age_s`, and at most `ttl_s`. Of one longer than `limit`, what goes first is what was
    not asked for, then as many answers as do not fit (with TC).
    """
    flags = QR | RA | (query.flags & (RD | CD)) | (reply.flags & (AA | TC | AD | 15))
    opt = encode_opt(query)
    message = bytearray(reply.message)
    if age_s or ttl_s is not None:
        for place in reply.ttl_places:
            (left_s,) = struct.unpack_from("!I", message, place)
            left_s = max(0, left_s - age_s)
            struct.pack_into("!I", message, place, left_s if ttl_s is None else min(left_s, ttl_s))
    if limit is not None and len(message) + len(opt) > limit:
        flags |= _cut(reply, message, limit - len(opt))
    struct.pack_into("!HH", message, 0, query.id, flags)
    message[HEADER_BYTES : HEADER_BYTES + len(query.question)] = query.question
    if query.edns:
        (additional,) = struct.unpack_from("!H", message, 10)
        struct.pack_into("!H", message, 10, additional + 1)
        message += opt
    return bytes(message)


def _cut(reply: Reply, message: bytearray, room: int) -> int:
    """Leaves as many whole answers as there is room for; TC if that is not all of them."""
    end, kept = HEADER_BYTES + len(reply.question), 0
    for place in reply.ttl_places[: reply.answers]:
        (length,) = struct.unpack_from("!H", message, place + 4)
        if place + 6 + length > room:
            break
        end, kept = place + 6 + length, kept + 1
    del message[end:]
    struct.pack_into("!HHH", message, 6, kept, 0, 0)
    return TC if kept < reply.answers else 0


def answer_records(reply: Reply) -> Sequence[Record]:
    """The answer section, with every name written out. Raises Malformed."""
    packet, at = reply.message, HEADER_BYTES + len(reply.question)
    found = []
    for _ in range(reply.answers):
        name, at = read_name(packet, at)
        kind, _, ttl_s, length = struct.unpack_from("!HHIH", packet, at)
        begin, at = at + 10, at + 10 + length
        data = packet[begin:at]
        if (before := _NAME_AFTER.get(kind)) is not None:
            target, _ = read_name(packet, begin + before)
            data = data[:before] + encode_name(target)
        found.append(Record(name, kind, ttl_s, data))
    return found
