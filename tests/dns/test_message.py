"""Answers written down: golden bytes, and what gives way when there is no room."""

import struct

from harness.dnstalk import edns, is_cut, query, question, records
from sampan.dns import wire
from sampan.dns.message import build_answer, build_failure
from sampan.dns.question import parse_query
from sampan.dns.reply import parse_reply
from sampan.dns.wire import Record

NAME = "WeB.default.svc.cluster.local"


def test_an_answer_on_the_wire() -> None:
    asked = query(NAME)
    record = Record(asked.name, wire.A, 5, bytes((10, 96, 0, 7)))
    expected = bytes.fromhex("0007 8580 0001 0001 0000 0000".replace(" ", "")) + question(NAME)[12:]
    expected += bytes.fromhex("c00c 0001 0001 00000005 0004 0a600007".replace(" ", ""))
    assert build_answer(asked, wire.NOERROR, [record]) == expected


def test_names_share_their_ends_with_the_question() -> None:
    asked = query("_http._tcp.web.shop.svc.cluster.local", wire.SRV)
    target = "10-244-0-5.web.shop.svc.cluster.local"
    answer = Record(asked.name, wire.SRV, 5, wire.srv_data(80, target))
    address = Record(target, wire.A, 5, bytes(4))
    soa = Record("cluster.local", wire.SOA, 5, wire.soa_data("cluster.local", 1, 5))
    reply = build_answer(asked, 0, [answer], [soa], [address])
    assert reply.count(b"\x05local") == 4  # the question, two names of the SOA's data, the SRV's data
    assert reply.endswith(b"\x0a10-244-0-5" + b"\xc0\x17" + struct.pack("!HHIH", 1, 1, 5, 4) + bytes(4))
    assert records(reply) == [answer]


def test_without_room_additional_records_go_first_and_unsaid() -> None:
    asked = query(NAME)
    answer = [Record(asked.name, wire.A, 5, bytes(4))]
    extra = [Record(f"x{n}.{asked.name}", wire.A, 5, bytes(4)) for n in range(100)]
    reply = build_answer(asked, 0, answer, additional=extra, limit=512)
    assert not is_cut(reply) and len(reply) < 100


def test_then_as_many_answers_as_do_not_fit_and_that_is_said() -> None:
    asked = query(NAME)
    many = [Record(asked.name, wire.A, 5, struct.pack("!I", n)) for n in range(100)]
    reply = build_answer(asked, 0, many, limit=512)
    assert 512 - 16 < len(reply) <= 512 and is_cut(reply)
    assert records(reply) == many[: len(records(reply))]
    assert len(records(build_answer(asked, 0, many))) == 100


def test_who_speaks_edns_is_answered_with_it() -> None:
    asked = parse_query(question(NAME, opt=edns(do=True)))
    assert build_answer(asked, 0)[-11:] == b"\x00" + struct.pack("!HHIH", wire.OPT, 1232, 0x8000, 0)
    bad = build_answer(asked, wire.BADVERS)
    assert bad[3] & 15 == 0 and bad[-6] == 1
    assert parse_reply(bad).answers == 0


def test_a_failure_is_a_header() -> None:
    assert build_failure(question("a"), wire.FORMERR) == bytes.fromhex("000781810000000000000000")
