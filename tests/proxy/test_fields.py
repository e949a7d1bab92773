"""Bytes of single fields, and of several side by side."""

from __future__ import annotations

import sys

import pytest

from sampan.proxy.fields import IP4, IP6, MARK, PORT, PROTO, Field, decode, encoder, width
from sampan.proxy.table import Fields

MARK_BYTES = (0x11223344).to_bytes(4, sys.byteorder)


@pytest.mark.parametrize(
    ("field", "value", "encoded"),
    [
        (IP4, "10.0.0.1", bytes((10, 0, 0, 1))),
        (IP6, "fd00::1", b"\xfd" + bytes(14) + b"\x01"),
        (PROTO, "udp", bytes((17, 0, 0, 0))),
        (PORT, 8080, b"\x1f\x90\0\0"),
        (MARK, 0x11223344, MARK_BYTES),
    ],
)
def test_field(field: Field, value: str | int, encoded: bytes) -> None:
    assert field.encode(value) == encoded
    assert field.decode(encoded) == value
    assert len(encoded) == field.width


@pytest.mark.parametrize("count", range(1, 5))
def test_fields_stand_side_by_side(count: int) -> None:
    fields = (MARK, IP4, PROTO, PORT)[:count]
    values: Fields = (0x11223344, "10.0.0.1", "tcp", 80)[:count]
    encoded = encoder(fields)(values)
    assert encoded == (MARK_BYTES + bytes((10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0)))[: 4 * count]
    assert len(encoded) == width(fields)
    assert decode(fields, encoded) == values


def test_a_protocol_without_a_name_is_its_number() -> None:
    assert PROTO.decode(bytes((47, 0, 0, 0))) == 47
