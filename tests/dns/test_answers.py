"""Answers kept as bytes: which question they answer, for how long, and in whose turn."""

import struct

import pytest

from harness.dnstalk import addresses, edns, query, question
from sampan.dns import answers, wire
from sampan.dns.answers import Answers, Entry
from sampan.dns.question import parse_query
from sampan.dns.wire import Record
from sampan.dns.zone import Answer

NAME = "web.shop.svc.cluster.local"


def answer(*ips: int, name: str = NAME, rests_on: tuple[str, ...] = ()) -> Answer:
    return Answer(0, [Record(name, wire.A, 5, struct.pack("!I", ip)) for ip in ips], rests_on=rests_on)


@pytest.fixture
def gone() -> list[Entry]:
    return []


@pytest.fixture
def kept(gone: list[Entry]) -> Answers:
    return Answers(gone.append)


def keep(kept: Answers, packet: bytes, found: Answer) -> bytes:
    return kept.keep(packet, parse_query(packet), found, 512)


def test_the_same_question_under_another_id_finds_it(kept: Answers) -> None:
    reply = keep(kept, question(NAME, ident=1), answer(1))
    entry = kept.kept[question(NAME, ident=2)[2:]]
    assert reply == b"\x00\x01" + entry.wire
    for other in (question(NAME, wire.AAAA), question(NAME, opt=edns()), question(f"x.{NAME}")):
        assert other[2:] not in kept.kept


def test_another_spelling_finds_it_and_gets_itself_back(kept: Answers) -> None:
    keep(kept, question(NAME), answer(1))
    # Type 65 is a capital letter in ASCII, and so may bytes of the OPT record be: these are not spelling.
    assert kept.find_spelt(question(NAME.upper(), 65)) is None
    packet = question(NAME.upper())
    found = kept.find_spelt(packet)
    assert found is not None
    reply = packet[:2] + found[1]
    assert reply[12 : len(packet)] == packet[12:] and addresses(reply) == ["0.0.0.1"]


def test_a_kept_answer_with_edns_is_found_in_any_spelling(kept: Answers) -> None:
    keep(kept, question(NAME, opt=edns(0x4142)), answer(1))
    found = kept.find_spelt(question(NAME.title(), opt=edns(0x4142)))
    assert found is not None and addresses(b"\0\0" + found[1]) == ["0.0.0.1"]


def test_a_cookie_is_not_worth_keeping(kept: Answers) -> None:
    keep(kept, question(NAME, opt=edns(options=b"\x00\x0a\x00\x08cookie!!")), answer(1))
    assert not kept.kept


def test_each_record_is_first_in_its_turn(kept: Answers) -> None:
    first = addresses(keep(kept, question(NAME), answer(1, 2, 3)))[0]
    entry = kept.kept[question(NAME)[2:]]
    seen = [first]
    for _ in range(5):
        seen.append(addresses(b"\0\0" + entry.wire)[0])
        assert entry.turn is not None
        entry.wire = entry.turn()
    assert sorted(seen) == sorted(["0.0.0.1", "0.0.0.2", "0.0.0.3"] * 2)
    assert seen[:3] == seen[3:]


def test_it_goes_with_any_name_that_it_rests_on(kept: Answers, gone: list[Entry]) -> None:
    alias = "alias.shop.svc.cluster.local"
    keep(kept, question(alias), answer(1, name=alias, rests_on=(NAME,)))
    keep(kept, question(NAME), answer(1))
    keep(kept, question(NAME, wire.AAAA), Answer(0))
    kept.forget(["other", alias + ".x"])
    assert len(kept.kept) == 3
    kept.forget([NAME])
    assert not kept.kept and not kept._keys and len(gone) == 3


def test_the_oldest_goes_for_a_new_one(kept: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT_MOST", 2)
    for name in ("a", "b", "c"):
        keep(kept, question(name), answer(1, name=name))
    assert set(kept.kept) == {question("b")[2:], question("c")[2:]}
    keep(kept, question("c"), answer(2, name="c"))  # the same again
    kept.forget(["c", "b"])
    assert not kept.kept and not kept._keys


def test_big_answers_take_no_more_room_than_there_is(kept: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT_BYTES", 20_000)
    for number in range(200):
        name = f"n{number}"
        keep(kept, question(name), answer(*range(20), name=name))
    assert sum(entry.size for entry in kept.kept.values()) == kept._bytes <= 20_000
    assert 1 < len(kept.kept) < 10
    keep(kept, question("pad") + bytes(300), answer(1, name="pad"))
    assert question("pad")[2:] + bytes(300) not in kept.kept
    kept.clear()
    assert kept._bytes == 0


def test_an_answer_that_is_not_kept_turns_too() -> None:
    found = {addresses(answers.encode(query(NAME), answer(1, 2, 3), None))[0] for _ in range(60)}
    assert len(found) == 3
