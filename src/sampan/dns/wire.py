"""DNS messages on the wire (RFC 1035, EDNS0 of RFC 6891): as much as a server of one zone needs.

A query is read up to its question and its OPT record; an answer is the question as it came, byte for byte
(so that a resolver which randomises letter case gets its own spelling back), with records after it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
CLASS_IN, CLASS_ANY = 1, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5

HEADER_BYTES = 12
PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 1232
"""What we send at most in one datagram: fits every path without fragments (DNS flag day 2020)."""

_HEADER = struct.Struct("!HHHHHH")
_QR, _AA, _TC, _RD, _RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800


class Malformed(Exception):
    """Not a query that can be understood. `rcode` is the answer to give, None: answer nothing."""

    def __init__(self, rcode: int | None, why: str) -> None:
        super().__init__(why)
        self.rcode = rcode


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; `name` is lower case without the final dot, `data` the RDATA."""

    name: str
    type: int
    ttl_s: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """`question` holds the bytes of the question section, `payload` how large a datagram the asker takes."""

    id: int
    flags: int
    name: str
    type: int
    cls: int
    question: bytes
    payload: int
    edns: bool


def parse_query(packet: bytes) -> Query:
    """Raises Malformed."""
    if len(packet) < HEADER_BYTES:
        raise Malformed(None, "shorter than a header")
    ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    if flags & _QR:
        raise Malformed(None, "an answer, not a query")
    if flags & _OPCODE:
        raise Malformed(NOTIMP, "an operation other than QUERY")
    if questions != 1 or answers or authorities:
        raise Malformed(FORMERR, "not exactly one question")
    labels, end = _read_name(packet, HEADER_BYTES)
    if end + 4 > len(packet):
        raise Malformed(FORMERR, "the question is cut off")
    kind, cls = struct.unpack_from("!HH", packet, end)
    end += 4
    payload = _edns_payload(packet, end) if additional else None
    return Query(
        ident,
        flags,
        b".".join(labels).lower().decode("latin-1"),
        kind,
        cls,
        packet[HEADER_BYTES:end],
        max(PLAIN_UDP_BYTES, min(payload or 0, MAX_UDP_BYTES)),
        payload is not None,
    )


def _read_name(packet: bytes, at: int) -> tuple[list[bytes], int]:
    labels: list[bytes] = []
    start = at
    while True:
        if at >= len(packet) or at - start > 255:
            raise Malformed(FORMERR, "a name without an end")
        length = packet[at]
        if length == 0:
            return labels, at + 1
        if length > 63:
            raise Malformed(FORMERR, "a compressed name in a question")
        label = packet[at + 1 : at + 1 + length]
        if len(label) < length or b"." in label:
            raise Malformed(FORMERR, "a label that is cut off or holds a dot")
        labels.append(label)
        at += 1 + length


def _edns_payload(packet: bytes, at: int) -> int | None:
    """The datagram size of an OPT record that directly follows the question; None without one."""
    if at + 11 > len(packet) or packet[at] != 0:
        return None
    kind, payload = struct.unpack_from("!HH", packet, at + 1)
    return payload if kind == OPT else None


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
    """The whole message. One longer than `limit` bytes is cut to the question with TC set: ask by TCP."""
    flags = _QR | _RA | (query.flags & _RD) | (_AA if authoritative else 0) | rcode
    sections = [encode_record(record, query) for record in (*answers, *authority, *additional)]
    opt = b"\x00" + struct.pack("!HHIH", OPT, MAX_UDP_BYTES, 0, 0) if query.edns else b""
    body = b"".join((query.question, *sections, opt))
    counts = (1, len(answers), len(authority), len(additional) + query.edns)
    if limit is not None and HEADER_BYTES + len(body) > limit:
        return _HEADER.pack(query.id, flags | _TC, 1, 0, 0, int(query.edns)) + query.question + opt
    return _HEADER.pack(query.id, flags, *counts) + body


def build_failure(packet: bytes, rcode: int) -> bytes:
    """An answer to a packet whose question could not be read: its header, and the code."""
    ident, flags = struct.unpack_from("!HH", packet)
    return _HEADER.pack(ident, _QR | _RA | (flags & (_RD | _OPCODE)) | rcode, 0, 0, 0, 0)


def is_truncated(packet: bytes) -> bool:
    return len(packet) >= HEADER_BYTES and bool(packet[2] & (_TC >> 8))


def read_records(reply: bytes, kind: int) -> list[tuple[int, bytes]]:
    """(TTL in seconds, RDATA) of each answer of one type, whose RDATA holds no names. Raises Malformed."""
    if len(reply) < HEADER_BYTES:
        raise Malformed(None, "shorter than a header")
    _, _, questions, answers, _, _ = _HEADER.unpack_from(reply)
    at = HEADER_BYTES
    found = []
    try:
        for _ in range(questions):
            at = _skip_name(reply, at) + 4
        for _ in range(answers):
            at = _skip_name(reply, at)
            here, _, ttl_s, length = struct.unpack_from("!HHIH", reply, at)
            at += 10
            if here == kind:
                found.append((ttl_s, reply[at : at + length]))
            at += length
    except (struct.error, IndexError):
        raise Malformed(None, "cut off") from None
    return found


def _skip_name(packet: bytes, at: int) -> int:
    while (length := packet[at]) != 0:
        if length >= 0xC0:
            return at + 2
        at += 1 + length
    return at + 1


def encode_record(record: Record, query: Query) -> bytes:
    # A record that bears the question's name points back to it; no other compression is worth its cost.
    name = b"\xc0\x0c" if record.name == query.name else encode_name(record.name)
    return name + struct.pack("!HHIH", record.type, CLASS_IN, record.ttl_s, len(record.data)) + record.data


def encode_name(name: str) -> bytes:
    if not name:
        return b"\x00"
    labels = (label.encode("latin-1") for label in name.split("."))
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\x00"


def address_data(ip: str) -> tuple[int, bytes]:
    """(A or AAAA, RDATA) of an address."""
    if ":" in ip:
        return AAAA, socket.inet_pton(socket.AF_INET6, ip)
    return A, socket.inet_aton(ip)


def srv_data(port: int, target: str, priority: int = 0, weight: int = 100) -> bytes:
    return struct.pack("!HHH", priority, weight, port) + encode_name(target)


def txt_data(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def soa_data(zone: str, serial: int, minimum_s: int) -> bytes:
    """RFC 2308: `minimum_s` is how long a "no" may be kept."""
    return (
        encode_name(f"ns.dns.{zone}")
        + encode_name(f"hostmaster.{zone}")
        + struct.pack("!IIIII", serial, 7200, 1800, 86400, minimum_s)
    )


def reverse_name(ip: str) -> str:
    """`10.96.0.1` -> `1.0.96.10.in-addr.arpa`; IPv6 by nibbles below ip6.arpa."""
    if ":" in ip:
        nibbles = socket.inet_pton(socket.AF_INET6, ip).hex()
        return ".".join(reversed(nibbles)) + ".ip6.arpa"
    return ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
