"""Questions as they arrive, whole, odd and broken."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dnstalk import edns, question
from sampan.dns import wire
from sampan.dns.message import build_failure
from sampan.dns.question import parse_query
from sampan.dns.wire import Malformed

HEADER = bytes.fromhex("123401000001000000000000")
QUESTION = b"\x03WeB\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01"


def counted(questions: int = 1, answers: int = 0, authorities: int = 0, additional: int = 0) -> bytes:
    return struct.pack("!HHHHHH", 0x1234, 0x0100, questions, answers, authorities, additional)


def test_reads_a_question_and_keeps_its_spelling() -> None:
    query = parse_query(HEADER + QUESTION)
    assert (query.id, query.name, query.type) == (0x1234, "web.default.svc.cluster.local", wire.A)
    assert query.question == QUESTION
    assert not query.edns and query.payload == 512


@pytest.mark.parametrize(("said", "taken"), [(4096, 1232), (1232, 1232), (1000, 1000), (100, 512), (0, 512)])
def test_edns_says_how_much_the_asker_takes(said: int, taken: int) -> None:
    query = parse_query(question("web", opt=edns(said)))
    assert query.edns and query.payload == taken and not query.options


def test_edns_is_found_behind_other_records_and_its_options_are_passed_over() -> None:
    other = b"\x00" + struct.pack("!HHIH", wire.TXT, 1, 0, 3) + b"abc"
    opt = edns(do=True, options=b"\x00\x0a\x00\x08cookie!!")
    query = parse_query(counted(additional=2) + QUESTION + other + opt)
    assert query.edns and query.dnssec and query.options and query.fault == wire.NOERROR


def test_a_later_edns_is_answered_with_badvers() -> None:
    assert parse_query(question("web", opt=edns(version=1))).fault == wire.BADVERS


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (b"", None),
        (b"\x00" * 11, None),
        (bytes.fromhex("123481000001000000000000") + QUESTION, None),
        (bytes.fromhex("123428000001000000000000") + QUESTION, wire.NOTIMP),
        (counted(2) + QUESTION + QUESTION, wire.FORMERR),
        (counted(0), wire.FORMERR),
        (HEADER + QUESTION[:-1], wire.FORMERR),
        (HEADER + b"\xc0\x0c\x00\x01\x00\x01", wire.FORMERR),
        (HEADER + b"\x3fabc", wire.FORMERR),
        (counted(additional=1) + QUESTION, wire.FORMERR),
        (counted(additional=1) + QUESTION + edns()[:-1], wire.FORMERR),
        (counted(additional=1) + QUESTION + edns(options=b"abcd")[:-1], wire.FORMERR),
        (counted(additional=2) + QUESTION + edns() + edns(), wire.FORMERR),
        (counted(additional=1) + QUESTION + b"\x01a" + edns(), wire.FORMERR),
    ],
)
def test_refuses_what_is_no_query(packet: bytes, rcode: int | None) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_query(packet)
    assert refusal.value.rcode == rcode


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: HEADER + QUESTION + tail))
def test_garbage_is_refused_never_a_crash_nor_silence(packet: bytes) -> None:
    try:
        parse_query(packet)
    except Malformed as refusal:
        if refusal.rcode is None:
            assert len(packet) < 12 or packet[2] & 0x80
        else:
            assert build_failure(packet, refusal.rcode)[:2] == packet[:2]
