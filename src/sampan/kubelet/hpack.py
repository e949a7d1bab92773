"""Reads the header blocks of HTTP/2: what a gRPC server says of itself stands in its trailers.

Source: RFC 7541. The Huffman code is canonical, so the lengths of its words are all one has to know.
"""

from __future__ import annotations

from functools import cache

TABLE_BYTES = 4096
"""SETTINGS_HEADER_TABLE_SIZE as it is unless we announce another."""

_LENGTHS = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f56565666"
    "577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjl"
    "qrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu"
)
"""Bits of the word for each byte, and for the end of string, in base 36 (appendix B)."""
_END = 256

_STATIC = (
    ":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|"
    ":status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|"
    "accept-encoding=gzip, deflate|accept-language|accept-ranges|accept|access-control-allow-origin|age|"
    "allow|authorization|cache-control|content-disposition|content-encoding|content-language|content-length|"
    "content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|"
    "if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|"
    "proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|"
    "strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
STATIC = tuple((name, value) for name, _, value in (field.partition("=") for field in _STATIC.split("|")))


class Decoder:
    """One connection's: what one block puts into the table, later ones refer to. ValueError at nonsense."""

    def __init__(self) -> None:
        self._dynamic: list[tuple[str, str]] = []
        self._limit = TABLE_BYTES

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        at = 0
        while at < len(block):
            first = block[at]
            if first & 0x80:  # indexed
                index, at = _number(block, at, 7)
                fields.append(self._entry(index))
            elif first & 0xE0 == 0x20:  # a new size of the table
                self._limit, at = _number(block, at, 5)
                if self._limit > TABLE_BYTES:
                    raise ValueError("a header table larger than allowed")
                self._evict()
            else:  # literal: to be remembered (01), or not (0000, 0001)
                kept = bool(first & 0x40)
                index, at = _number(block, at, 6 if kept else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _text(block, at)
                value, at = _text(block, at)
                fields.append((name, value))
                if kept:
                    self._dynamic.insert(0, (name, value))
                    self._evict()
        return fields

    def _entry(self, index: int) -> tuple[str, str]:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        if len(STATIC) < index <= len(STATIC) + len(self._dynamic):
            return self._dynamic[index - len(STATIC) - 1]
        raise ValueError(f"no header {index} in the table")

    def _evict(self) -> None:
        size = sum(len(name) + len(value) + 32 for name, value in self._dynamic)
        while size > self._limit:
            name, value = self._dynamic.pop()
            size -= len(name) + len(value) + 32


def unhuffman(data: bytes) -> bytes:
    words, out = _words(), bytearray()
    word, length = 0, 0
    for byte in data:
        for bit in range(7, -1, -1):
            word, length = word << 1 | byte >> bit & 1, length + 1
            if (symbol := words.get((length, word))) is not None:
                if symbol == _END:
                    raise ValueError("end of string inside of one")
                out.append(symbol)
                word, length = 0, 0
    if length > 7 or word != (1 << length) - 1:
        raise ValueError("a Huffman code that breaks off")
    return bytes(out)


def _text(block: bytes, at: int) -> tuple[str, int]:
    if at >= len(block):
        raise ValueError("a header that breaks off")
    coded = bool(block[at] & 0x80)
    size, at = _number(block, at, 7)
    data = block[at : at + size]
    if len(data) < size:
        raise ValueError("a header that breaks off")
    return (unhuffman(data) if coded else data).decode("latin-1"), at + size


def _number(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """(integer with a prefix of so many bits, where it ends): section 5.1."""
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in range(0, 28, 7):
        if at >= len(block):
            break
        byte = block[at]
        number, at = number + ((byte & 0x7F) << shift), at + 1
        if not byte & 0x80:
            return number, at
    raise ValueError("an integer that does not end")


@cache
def _words() -> dict[tuple[int, int], int]:
    """(bits, word) -> symbol."""
    words: dict[tuple[int, int], int] = {}
    word, bits = 0, 0
    for length, symbol in sorted((int(digit, 36), symbol) for symbol, digit in enumerate(_LENGTHS)):
        word <<= length - bits
        bits = length
        words[bits, word] = symbol
        word += 1
    return words
