"""What has to be known of an X.509 certificate without the library for it, which would cost an agent 20 MB.

Source: RFC 5280, 4.1 (fields), X.690 (DER).
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

_VERSION, _UTC_TIME = 0xA0, 0x17
_VALIDITY, _KEY = 3, 5
"""Places of fields that follow the version: serial, algorithm, issuer, validity, subject, key."""


class Element(NamedTuple):
    """`whole` is tag, length and content."""

    tag: int
    content: bytes
    whole: bytes


def elements(data: bytes) -> list[Element]:
    """DER elements in a row. Raises ValueError for what is none."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("not DER: an element without a length")
        begin, tag, size, at = at, data[at], data[at + 1], at + 2
        if size & 0x80:
            octets = size & 0x7F
            size, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        if at + size > len(data):
            raise ValueError("not DER: an element is longer than what holds it")
        found.append(Element(tag, data[at : at + size], data[begin : at + size]))
        at += size
    return found


def validity(certificate: bytes) -> tuple[float, float]:
    """notBefore and notAfter, in seconds since the epoch."""
    begins, ends = (_time(each) for each in elements(_fields(certificate)[_VALIDITY].content))
    return begins, ends


def public_key(certificate: bytes) -> bytes:
    """SubjectPublicKeyInfo as it stands there."""
    return _fields(certificate)[_KEY].whole


def _fields(certificate: bytes) -> list[Element]:
    try:
        fields = elements(elements(elements(certificate)[0].content)[0].content)
        return fields[1:] if fields[0].tag == _VERSION else fields
    except IndexError:
        raise ValueError("not a certificate") from None


def _time(element: Element) -> float:
    form = "%y%m%d%H%M%SZ" if element.tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    moment = datetime.datetime.strptime(element.content.decode(), form)
    return moment.replace(tzinfo=datetime.UTC).timestamp()
