"""Names and record data on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.dns import wire

LABEL = st.text(alphabet="abcxyz019-_", min_size=1, max_size=63)


@given(st.lists(LABEL, max_size=6))
def test_a_name_comes_back_as_it_went_in(labels: list[str]) -> None:
    name = ".".join(labels)
    try:
        encoded = wire.encode_name(name)
    except ValueError:
        assert sum(map(len, labels)) + len(labels) + 1 > 255
        return
    assert wire.read_name(encoded, 0) == (name, len(encoded))


@pytest.mark.parametrize("name", ["a" * 64, "a..b", ".".join(["a" * 60] * 5)])
def test_what_fits_no_message_is_not_encoded(name: str) -> None:
    with pytest.raises(ValueError):
        wire.encode_name(name)


def test_a_dot_within_a_label_is_no_border() -> None:
    name, _ = wire.read_name(b"\x03a.b\x01c\x00", 0)
    assert name == "a\\.b.c"
    assert wire.encode_name(name) == b"\x03a.b\x01c\x00"


def test_pointers_lead_back_and_end() -> None:
    packet = b"\x03www\x07example\x00" + b"\x02db\xc0\x04"
    assert wire.read_name(packet, 13) == ("db.example", len(packet))
    for circle in (b"\xc0\x00", b"\x01a\xc0\x00", b"\x01a\xc0\x04\x01b\xc0\x00"):
        with pytest.raises(wire.Malformed):
            wire.read_name(circle, 0)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_no_bytes_break_the_reading_of_a_name(packet: bytes, at: int) -> None:
    try:
        name, after = wire.read_name(packet, at)
    except wire.Malformed as refusal:
        assert refusal.rcode == wire.FORMERR
    else:
        assert at < after <= len(packet)
        assert wire.read_name(wire.encode_name(name), 0)[0] == name


def test_reverse_names() -> None:
    assert wire.reverse_name("10.96.0.1") == "1.0.96.10.in-addr.arpa"
    assert wire.reverse_name("fd00::1") == ".".join("1" + "0" * 27 + "00df") + ".ip6.arpa"
