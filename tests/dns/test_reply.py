"""Others' answers: read, kept by their TTLs, passed on."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.dnstalk import edns, is_cut, query, question, records
from sampan.dns import wire
from sampan.dns.message import build_answer
from sampan.dns.question import parse_query
from sampan.dns.reply import answer_records, parse_reply, pass_on
from sampan.dns.wire import Malformed, Record

ASKED = parse_query(question("www.example.com", opt=edns()))
ADDRESS = Record("www.example.com", wire.A, 60, b"\x01\x02\x03\x04")
SOA = Record("example.com", wire.SOA, 300, wire.soa_data("example.com", 1, 30))


@pytest.mark.parametrize(
    ("rcode", "answers", "authority", "keep_s"),
    [
        (0, [ADDRESS, Record("www.example.com", wire.A, 20, bytes(4))], [], 20),
        (0, [], [SOA], 30),
        (3, [], [SOA], 30),
        (3, [], [], 0),
        (2, [ADDRESS], [], 0),
        (0, [Record("www.example.com", wire.A, 0x80000001, bytes(4))], [], 0),
    ],
)
def test_how_long_it_may_be_kept(
    rcode: int, answers: list[Record], authority: list[Record], keep_s: int
) -> None:
    assert parse_reply(build_answer(ASKED, rcode, answers, authority)).ttl_s == keep_s


def test_it_is_passed_on_as_the_next_asker_spells_it_and_older_by_its_age() -> None:
    reply = parse_reply(build_answer(ASKED, 0, [ADDRESS]))
    asker = parse_query(question("wWw.eXample.com", ident=99))
    passed = pass_on(reply, asker, age_s=10)
    assert passed[:2] == b"\x00\x63" and passed[12 : 12 + len(asker.question)] == asker.question
    assert records(passed) == [Record("www.example.com", wire.A, 50, b"\x01\x02\x03\x04")]
    assert struct.unpack_from("!H", passed, 10) == (0,), "no OPT for who sent none"
    assert records(pass_on(reply, asker, ttl_s=7))[0].ttl_s == 7
    assert records(pass_on(reply, asker, age_s=100))[0].ttl_s == 0


def test_the_servers_own_edns_is_not_passed_on_but_ours_is_put_there() -> None:
    theirs = build_answer(ASKED, 0, [ADDRESS])[:-11] + edns(4000, options=b"\x00\x0a\x00\x02ab")
    passed = pass_on(parse_reply(theirs), ASKED)
    assert passed.endswith(b"\x00" + struct.pack("!HHIH", wire.OPT, 1232, 0, 0))
    assert (
        parse_reply(passed).message
        == parse_reply(theirs).message[:2] + passed[2:4] + (parse_reply(theirs).message[4:])
    )


def test_what_does_not_fit_is_cut_between_records() -> None:
    many = [Record("www.example.com", wire.A, 60, struct.pack("!I", n)) for n in range(100)]
    reply = parse_reply(build_answer(ASKED, 0, many, [SOA]))
    passed = pass_on(reply, ASKED, limit=1232)
    assert is_cut(passed) and len(passed) <= 1232
    assert records(passed) == many[: len(records(passed))] and len(records(passed)) > 60
    few = parse_reply(build_answer(ASKED, 0, many[:3], [SOA] * 30))
    assert not is_cut(pass_on(few, ASKED, limit=512)), "nothing that was asked for is missing"


def test_names_within_data_are_written_out() -> None:
    header = struct.pack("!HHHHHH", 7, 0x8180, 1, 2, 0, 0)
    body = query("a.example.com").question
    alias = b"\xc0\x0c" + struct.pack("!HHIH", wire.CNAME, 1, 60, 4) + b"\x01b\xc0\x0e"
    address = b"\x01b\xc0\x0e" + struct.pack("!HHIH", wire.A, 1, 60, 4) + bytes(4)
    assert answer_records(parse_reply(header + body + alias + address)) == [
        Record("a.example.com", wire.CNAME, 60, wire.encode_name("b.example.com")),
        Record("b.example.com", wire.A, 60, bytes(4)),
    ]


@given(st.binary(max_size=200) | st.binary(max_size=100).map(build_answer(ASKED, 0, [ADDRESS]).__add__))
def test_garbage_is_refused_or_read_never_a_crash(packet: bytes) -> None:
    try:
        reply = parse_reply(packet)
        answer_records(reply)
    except Malformed:
        return
    assert len(pass_on(reply, ASKED, age_s=1, limit=512)) <= 512
