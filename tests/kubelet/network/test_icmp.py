from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.kubelet.network import icmp
from sampan.kubelet.network.icmp import KINDS, Echo, Trouble

HOST = {4: ip_address("192.0.2.2"), 6: ip_address("2001:db8::2")}
POD = {4: ip_address("10.244.0.5"), 6: ip_address("fd73::5")}
FAR = {4: ip_address("198.51.100.9"), 6: ip_address("2001:db8:9::9")}
BOTH = pytest.mark.parametrize("version", [4, 6])


def test_the_checksum_of_an_echo() -> None:
    assert icmp.request(4, 1, b"\0\0") == b"\x08\0\xf7\xfe\0\x01\0\0"
    assert icmp.checksum(b"\x01\x02\x03") == icmp.checksum(b"\x01\x02\x03\0")


@given(st.lists(st.binary(min_size=2, max_size=2), min_size=4), st.binary(min_size=2, max_size=2))
def test_an_adjusted_checksum_is_the_checksum_of_what_changed(words: list[bytes], now: bytes) -> None:
    data = b"".join(words)
    changed = now + data[2:]
    got, right = icmp.adjusted(icmp.checksum(data), data[:2], now), icmp.checksum(changed)
    assert got == right or {got, right} == {0, 0xFFFF}  # the two zeros of such sums


@BOTH
def test_a_reply_is_read_as_it_was_meant(version: int) -> None:
    message = icmp.reply(version, 7, b"\0\x01data")
    assert icmp.read(version, message) == Echo(KINDS[version].reply, 7, b"\0\x01data")
    assert version == 6 or icmp.checksum(message) == 0


@BOTH
def test_an_error_about_our_request_becomes_one_about_the_clients(version: int) -> None:
    """As a router quotes it: the packet that the host sent, by our identifier."""
    kinds = KINDS[version]
    found = icmp.read(
        version, icmp.trouble(version, kinds.time_exceeded, 0, _request_of(version, HOST[version], 4711))
    )
    assert isinstance(found, Trouble)
    assert (found.kind, found.code, found.ident) == (kinds.time_exceeded, 0, 4711)
    assert found.target == FAR[version].packed
    assert icmp.requoted(found, POD[version], 7) == _request_of(version, POD[version], 7)


@BOTH
@pytest.mark.parametrize("cut", [0, 1, 7, 8, 12, 27, 30])
def test_what_is_cut_off_is_nothing(version: int, cut: int) -> None:
    sent = _request_of(version, HOST[version], 4711)
    assert icmp.read(version, icmp.trouble(version, KINDS[version].unreachable, 1, sent)[:cut]) is None


@BOTH
def test_errors_about_other_packets_are_nobodys(version: int) -> None:
    quoted = icmp.quote(HOST[version], FAR[version], 17, bytes(8))
    assert icmp.read(version, icmp.trouble(version, KINDS[version].unreachable, 1, quoted)) is None


def _request_of(version: int, source: icmp.Address, ident: int) -> bytes:
    """As the kernel sends it, checksum and all."""
    kinds = KINDS[version]
    message = icmp.request(version, ident, b"\0\x01data")
    if version == 6:
        ends = source.packed + FAR[6].packed + struct.pack(">II", len(message), kinds.protocol)
        message = message[:2] + struct.pack(">H", icmp.checksum(ends + message)) + message[4:]
    return icmp.quote(source, FAR[version], kinds.protocol, message)
