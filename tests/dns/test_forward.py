"""Which servers are asked, in which order, and what is remembered."""

import asyncio

import pytest

from harness.dnstalk import answered, elsewhere, query
from sampan.dns import forward, wire
from sampan.dns.config import Forward, Keeping
from sampan.dns.forward import Forwarder, Overloaded, Unanswered
from sampan.dns.message import build_answer
from sampan.dns.question import Query
from sampan.dns.reply import answer_records
from sampan.dns.upstream import Upstream

pytestmark = pytest.mark.virtual_time

ASKED = query("www.example.com")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "TRY_S", 0.2)
    monkeypatch.setattr(forward, "ALL_TRIES_S", 2.0)


def here(*ports: int) -> tuple[Upstream, ...]:
    return tuple(Upstream("127.0.0.1", port) for port in ports)


def asking(*ports: int, keeping: Keeping | None = None, **more: object) -> Forwarder:
    return Forwarder(Forward("", here(*ports), policy="sequential", **more), keeping)  # type: ignore[arg-type]


def finds(asked: Query, packet: bytes) -> bytes:
    return answered(asked, "1.2.3.4")


def fails(asked: Query, packet: bytes) -> bytes:
    return build_answer(asked, wire.SERVFAIL)


def silent(asked: Query, packet: bytes) -> None:
    return None


async def test_who_is_silent_not_there_or_fails_is_passed_over_and_asked_last_from_then_on() -> None:
    async with elsewhere(silent) as mute, elsewhere(fails) as failing, elsewhere(finds) as good:
        async with elsewhere(finds) as gone:
            pass
        it = asking(gone.port, mute.port, failing.port, good.port)
        assert (await it.ask(ASKED)).answers == 1
        assert [server.port for server in it.servers()] == [failing.port, good.port, gone.port, mute.port]
        await it.ask(ASKED)
        assert len(mute.asked) == 1


async def test_a_failure_that_all_agree_on_is_the_answer() -> None:
    async with elsewhere(fails) as one, elsewhere(fails) as other:
        assert (await asking(one.port, other.port).ask(ASKED)).rcode == wire.SERVFAIL
        assert len(one.asked) == len(other.asked) == 1


@pytest.mark.parametrize("servers", [0, 1])
async def test_when_nobody_answers_that_is_said(servers: int) -> None:
    async with elsewhere(silent) as mute:
        with pytest.raises(Unanswered):
            await asking(*[mute.port] * servers).ask(ASKED)


async def test_a_question_that_was_lost_is_asked_again() -> None:
    lost = iter([True])
    async with elsewhere(lambda asked, packet: None if next(lost, False) else finds(asked, packet)) as it:
        assert (await asking(it.port).ask(ASKED)).answers == 1


async def test_the_same_question_goes_out_once() -> None:
    async with elsewhere(finds) as it:
        forwarder = asking(it.port)
        replies = await asyncio.gather(*[forwarder.ask(query(spelt)) for spelt in ("a.b", "A.b", "a.B")])
        assert len(it.asked) == 1 and all(reply is replies[0] for reply in replies)


async def test_who_stops_waiting_takes_nothing_from_others() -> None:
    async with elsewhere(finds) as it:
        forwarder = asking(it.port)
        impatient, patient = (asyncio.create_task(forwarder.ask(ASKED)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).answers == 1


async def test_no_more_are_under_way_than_may_be() -> None:
    async with elsewhere(silent) as mute:
        forwarder = asking(mute.port, most=1)
        first = asyncio.create_task(forwarder.ask(ASKED))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await forwarder.ask(query("other"))
        with pytest.raises(Unanswered):
            await first
    assert forwarder.rejected == 1


async def test_what_was_answered_is_at_hand_the_next_time() -> None:
    async with elsewhere(finds) as it:
        forwarder = asking(it.port, keeping=Keeping())
        assert forwarder.kept(ASKED) is None
        await forwarder.ask(ASKED)
        kept = forwarder.kept(ASKED)
        assert kept is not None and len(answer_records(kept.reply)) == 1
        await forwarder.ask(query("nope"))
    assert it.asked[-1].name == "nope"


async def test_a_server_that_changes_letters_is_asked_in_small_ones() -> None:
    def flat(asked: Query, packet: bytes) -> bytes:
        return finds(query(asked.name), packet).replace(b"\x00\x07", packet[:2], 1)

    async with elsewhere(flat) as it:
        forwarder = asking(it.port)
        for _ in range(4):
            assert (await forwarder.ask(ASKED)).answers == 1
        assert it.asked[-1].question == ASKED.question


def test_in_which_order_servers_are_asked() -> None:
    servers = here(1, 2, 3)
    in_turn = Forwarder(Forward("", servers, policy="round_robin"), None)
    assert {in_turn.servers()[0] for _ in range(3)} == set(servers)
    by_chance = Forwarder(Forward("", servers), None)
    assert {by_chance.servers()[0] for _ in range(60)} == set(servers)
    in_turn.loops.add(servers[0])
    assert servers[0] not in in_turn.servers()
