"""A question as it arrives: read as far as its answer needs, or refused with the code that is due. Pure.

What is read: the question, kept byte for byte (a resolver that randomises letter case gets its own spelling
back), and the OPT record of EDNS0, wherever in the additional section it stands (RFC 6891). Options in it,
cookies among them, are ignored.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sampan.dns.wire import (
    BADVERS,
    FORMERR,
    HEADER,
    HEADER_BYTES,
    MAX_UDP_BYTES,
    NOERROR,
    NOTIMP,
    OPCODE,
    OPT,
    PLAIN_UDP_BYTES,
    QR,
    Malformed,
    read_name,
)

_DO = 0x8000


@dataclass(frozen=True, slots=True)
class Query:
    """`question` holds the bytes of the question section, `payload` how large a datagram the asker takes."""

    id: int
    flags: int
    name: str
    type: int
    cls: int
    question: bytes
    payload: int = PLAIN_UDP_BYTES
    edns: bool = False
    dnssec: bool = False
    """DO: sent back as it came; what is signed elsewhere is passed on with its signatures."""
    options: bool = False
    """Whether the OPT record says more than all askers say."""
    fault: int = NOERROR
    """What is to be answered whatever was asked."""


@dataclass(frozen=True, slots=True)
class _Opt:
    payload: int
    ttl: int
    options: bool


def parse_query(packet: bytes) -> Query:
    """Raises Malformed."""
    if len(packet) < HEADER_BYTES:
        raise Malformed(None, "shorter than a header")
    ident, flags, questions, answers, authorities, additional = HEADER.unpack_from(packet)
    if flags & QR:
        raise Malformed(None, "an answer, not a query")
    if flags & OPCODE:
        raise Malformed(NOTIMP, "an operation other than QUERY")
    if questions != 1:
        raise Malformed(FORMERR, "not exactly one question")
    name, end = read_name(packet, HEADER_BYTES, pointers=False)
    if end + 4 > len(packet):
        raise Malformed(FORMERR, "the question is cut off")
    kind, cls = struct.unpack_from("!HH", packet, end)
    end += 4
    question = packet[HEADER_BYTES:end]
    if not (answers or authorities or additional):
        return Query(ident, flags, name, kind, cls, question)
    opt = _read_opt(packet, end, answers + authorities, additional)
    if opt is None:
        return Query(ident, flags, name, kind, cls, question)
    return Query(
        ident,
        flags,
        name,
        kind,
        cls,
        question,
        max(PLAIN_UDP_BYTES, min(opt.payload, MAX_UDP_BYTES)),
        edns=True,
        dnssec=bool(opt.ttl & _DO),
        options=opt.options,
        fault=BADVERS if opt.ttl >> 16 & 0xFF else NOERROR,
    )


def _read_opt(packet: bytes, at: int, skipped: int, additional: int) -> _Opt | None:
    """The one OPT record among the last `additional` records."""
    found = None
    for number in range(skipped + additional):
        name, at = read_name(packet, at)
        if at + 10 > len(packet):
            raise Malformed(FORMERR, "a record that is cut off")
        kind, cls, ttl, length = struct.unpack_from("!HHIH", packet, at)
        at += 10 + length
        if at > len(packet):
            raise Malformed(FORMERR, "a record's data are cut off")
        if kind == OPT and number >= skipped:
            if found is not None or name:
                raise Malformed(FORMERR, "more than one OPT record, or one with a name")
            found = _Opt(cls, ttl, length > 0)
    return found
