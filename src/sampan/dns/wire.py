"""What DNS messages are made of (RFC 1035, 6891): codes, names, records and their data. Pure.

A name is text in lower case without the final dot; a dot within a label, which no host's name has, is `\\.`.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41
HINFO, IXFR, AXFR, ANY = 13, 251, 252, 255
CLASS_IN, CLASS_ANY = 1, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE = 0x7800

TYPE_NAMES = {A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", PTR: "PTR", MX: "MX", TXT: "TXT", AAAA: "AAAA"}
TYPE_NAMES |= {SRV: "SRV", ANY: "ANY", HINFO: "HINFO", 65: "HTTPS", 64: "SVCB", 43: "DS", 48: "DNSKEY"}
RCODE_NAMES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
RCODE_NAMES |= {BADVERS: "BADVERS"}

HEADER = struct.Struct("!HHHHHH")
HEADER_BYTES = 12
PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 1232
"""What we send at most in one datagram: fits every path without fragments (DNS flag day 2020)."""
NAME_BYTES, LABEL_BYTES = 255, 63


class Malformed(Exception):
    """Not a message that can be understood. `rcode` is the answer to give, None: answer nothing."""

    def __init__(self, rcode: int | None, why: str) -> None:
        super().__init__(why)
        self.rcode = rcode


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record; `data` is the RDATA, uncompressed."""

    name: str
    type: int
    ttl_s: int
    data: bytes


def encode_name(name: str) -> bytes:
    """Raises ValueError for a name that fits no message: a label over 63 bytes, all of it over 255."""
    if not name:
        return b"\x00"
    encoded = bytearray()
    for label in split_name(name):
        raw = label.encode("latin-1")
        if not 0 < len(raw) <= LABEL_BYTES:
            raise ValueError(f"{label!r} cannot be a label")
        encoded.append(len(raw))
        encoded += raw
    encoded.append(0)
    if len(encoded) > NAME_BYTES:
        raise ValueError(f"{name!r} is too long for a name")
    return bytes(encoded)


def split_name(name: str) -> list[str]:
    if "\\" not in name:
        return name.split(".")
    return [label.replace("\0", ".") for label in name.replace("\\.", "\0").split(".")]


def read_name(packet: bytes, at: int, *, pointers: bool = True) -> tuple[str, int]:
    """The name that begins at `at`, and where the next field does. Raises Malformed (FORMERR)."""
    labels: list[bytes] = []
    after, lowest, size = -1, at, 0
    while True:
        if at >= len(packet):
            raise Malformed(FORMERR, "a name without an end")
        length = packet[at]
        if length == 0:
            name = b".".join(labels).lower().decode("latin-1")
            return name, at + 1 if after < 0 else after
        if length >= 0xC0 and pointers:
            if at + 2 > len(packet):
                raise Malformed(FORMERR, "a pointer that is cut off")
            after = at + 2 if after < 0 else after
            at = (length & 0x3F) << 8 | packet[at + 1]
            # Each one has to lead further back, so that they end.
            if at >= lowest:
                raise Malformed(FORMERR, "a pointer that leads nowhere")
            lowest = at
            continue
        if length > LABEL_BYTES:
            raise Malformed(FORMERR, "no label")
        label = packet[at + 1 : at + 1 + length]
        size += 1 + length
        if len(label) < length or size >= NAME_BYTES:
            raise Malformed(FORMERR, "a label that is cut off, or too many of them")
        labels.append(label.replace(b".", b"\\.") if b"." in label else label)
        at += 1 + length


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
