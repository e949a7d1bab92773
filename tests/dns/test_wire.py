"""The wire codec: golden packets, and no packet that breaks it."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.dns import wire

HEADER = bytes.fromhex("1234 0100 0001 0000 0000 0000".replace(" ", ""))
QUESTION = b"\x03WeB\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"


def test_reads_a_question_and_keeps_its_spelling() -> None:
    query = wire.parse_query(HEADER + QUESTION)
    assert (query.id, query.name, query.type) == (0x1234, "web.default.svc.cluster.local", wire.A)
    assert query.question == QUESTION
    assert not query.edns and query.payload == 512


def test_an_answer_on_the_wire() -> None:
    query = wire.parse_query(HEADER + QUESTION)
    record = wire.Record(query.name, wire.A, 5, bytes((10, 96, 0, 7)))
    expected = bytes.fromhex("123485800001000100000000") + QUESTION
    expected += bytes.fromhex("c00c 0001 0001 00000005 0004 0a600007".replace(" ", ""))
    assert wire.build_answer(query, wire.NOERROR, [record]) == expected


def test_too_long_for_the_asker_is_cut_with_tc() -> None:
    query = wire.parse_query(HEADER + QUESTION)
    records = [wire.Record(query.name, wire.A, 5, struct.pack("!I", n)) for n in range(100)]
    reply = wire.build_answer(query, wire.NOERROR, records, limit=512)
    assert len(reply) <= 512 and wire.is_truncated(reply)
    assert not wire.is_truncated(wire.build_answer(query, wire.NOERROR, records))


def test_edns_raises_the_limit() -> None:
    packet = bytearray(HEADER + QUESTION + b"\x00" + struct.pack("!HHIH", wire.OPT, 4096, 0, 0))
    packet[11] = 1
    query = wire.parse_query(bytes(packet))
    assert query.edns and query.payload == wire.MAX_UDP_BYTES
    assert wire.build_answer(query, 0)[-11:-8] == b"\x00\x00\x29"


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (b"", None),
        (b"\x00" * 11, None),
        (bytes.fromhex("123481000001000000000000") + QUESTION, None),
        (bytes.fromhex("123428000001000000000000") + QUESTION, wire.NOTIMP),
        (bytes.fromhex("123401000002000000000000") + QUESTION, wire.FORMERR),
        (HEADER + QUESTION[:-1], wire.FORMERR),
        (HEADER + b"\xc0\x0c\x00\x01\x00\x01", wire.FORMERR),
        (HEADER + b"\x03a.b\x00\x00\x01\x00\x01", wire.FORMERR),
        (HEADER + b"\x3fabc", wire.FORMERR),
    ],
)
def test_refuses_what_is_no_query(packet: bytes, rcode: int | None) -> None:
    with pytest.raises(wire.Malformed) as refusal:
        wire.parse_query(packet)
    assert refusal.value.rcode == rcode


@given(st.binary(max_size=200))
def test_garbage_is_refused_never_a_crash(packet: bytes) -> None:
    try:
        wire.parse_query(packet)
    except wire.Malformed as refusal:
        if refusal.rcode is not None:
            assert wire.build_failure(packet, refusal.rcode)[:2] == packet[:2]


@given(st.binary(max_size=200))
def test_garbage_from_a_resolver_is_refused(packet: bytes) -> None:
    try:
        wire.read_records(packet, wire.A)
    except wire.Malformed:
        pass


def test_reads_the_addresses_of_an_answer() -> None:
    query = wire.parse_query(HEADER + QUESTION)
    records = [
        wire.Record(query.name, wire.CNAME, 5, wire.encode_name("a.example")),
        wire.Record("a.example", wire.A, 60, b"\x01\x02\x03\x04"),
    ]
    assert wire.read_records(wire.build_answer(query, 0, records), wire.A) == [(60, b"\x01\x02\x03\x04")]


def test_reverse_names() -> None:
    assert wire.reverse_name("10.96.0.1") == "1.0.96.10.in-addr.arpa"
    assert wire.reverse_name("fd00::1") == ".".join("1" + "0" * 27 + "00df") + ".ip6.arpa"
