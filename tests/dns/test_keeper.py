"""Sockets that outlive whoever opened them."""

import os
import socket
from pathlib import Path

import pytest

from harness.dnstalk import until
from sampan.dns import keeper
from sampan.dns.keeper import Keeper, Place

HERE = Path("/proc/self/ns/net")


async def held(pid: int, record: Path) -> bool:
    """Whether a process has come so far as to have its environment."""
    return pid in keeper._holders(record)


class Opening:
    def __init__(self) -> None:
        self.opened: list[Place] = []

    async def __call__(self, place: Place) -> socket.socket:
        self.opened.append(place)
        sock = socket.socket(socket.AF_INET, place.kind)
        sock.bind((place.ip, place.port))
        if place.kind == socket.SOCK_STREAM:
            sock.listen()
        return sock


def free_places() -> list[Place]:
    found = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind(("127.0.0.1", 0))
            found.append(Place(kind, *sock.getsockname()))
    return found


@pytest.fixture
def record(tmp_path: Path):  # type: ignore[no-untyped-def]
    path = tmp_path / "sockets.json"
    yield path
    keeper.end(path)


def may_take() -> bool:
    return os.geteuid() == 0


@pytest.mark.skipif(not may_take(), reason="needs root, to take a descriptor from another process")
async def test_what_is_asked_between_two_processes_waits_for_the_second(record: Path) -> None:
    places, opening = free_places(), Opening()
    for sock in (await Keeper(record, HERE, opening).sockets(places)).values():
        sock.close()  # as the end of the process does
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker, socket.socket() as caller:
        asker.connect((places[0].ip, places[0].port))
        asker.send(b"question")
        caller.settimeout(30)
        caller.connect((places[1].ip, places[1].port))
        udp, tcp = (await Keeper(record, HERE, opening).sockets(places)).values()
        assert opening.opened == places, "nothing was opened anew"
        udp.settimeout(30)
        packet, sender = udp.recvfrom(100)
        udp.sendto(packet[::-1], sender)
        asker.settimeout(30)
        assert asker.recv(100) == b"noitseuq"
        tcp.settimeout(30)
        tcp.accept()[0].close()
        udp.close()
        tcp.close()


async def test_other_places_are_opened_and_held_too(record: Path) -> None:
    first, second = free_places(), free_places()
    opening = Opening()
    for place in (first, [*first, *second], second):
        for sock in (await Keeper(record, HERE, opening).sockets(place)).values():
            sock.close()
    holder = keeper.read(record)
    assert holder is not None and [place for place, _ in holder.descriptors] == second
    keeper.end(record)
    assert keeper.read(record) is None and not Path(f"/proc/{holder.pid}").exists()
    for place in (*first, *second):  # and the addresses are free
        with socket.socket(socket.AF_INET, place.kind) as sock:
            sock.bind((place.ip, place.port))


async def test_a_holder_that_nobody_wrote_down_is_found_all_the_same(record: Path) -> None:
    places = free_places()
    for sock in (await Keeper(record, HERE, Opening()).sockets(places)).values():
        sock.close()
    holder = keeper.read(record)
    assert holder is not None
    await until(lambda: held(holder.pid, record))
    record.unlink()  # as if its maker had died in between
    found = await Keeper(record, HERE, Opening()).sockets(places)
    assert list(found) == places, "its addresses are free again"
    assert keeper.begun_at(holder.pid) != holder.begun
    for sock in found.values():
        sock.close()


async def test_sockets_of_a_namespace_that_is_gone_are_not_taken(record: Path, tmp_path: Path) -> None:
    places, opening = free_places(), Opening()
    for sock in (await Keeper(record, HERE, opening).sockets(places)).values():
        sock.close()
    for sock in (await Keeper(record, tmp_path, opening).sockets(places)).values():
        sock.close()
    assert opening.opened == [*places, *places]


@pytest.mark.parametrize("text", ["", "{}", '{"pid": 1}', '{"pid": 1, "begun": 1, "descriptors": []}'])
async def test_a_torn_or_foreign_record_is_no_holder(record: Path, text: str) -> None:
    record.write_text(text)
    places = free_places()
    for sock in (await Keeper(record, HERE, Opening()).sockets(places)).values():
        sock.close()
    holder = keeper.read(record)
    assert holder is not None and holder.pid != 1


async def test_a_place_that_somebody_else_has_is_left_to_them(record: Path) -> None:
    places = free_places()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((places[0].ip, places[0].port))
        found = await Keeper(record, HERE, Opening()).sockets(places)
        assert list(found) == places[1:]
        found[places[1]].close()
