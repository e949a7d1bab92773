from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.apiserver.outbox import PIECE_BYTES, Outbox


class Peer:
    """A transport that takes `room` writes and then says that it has enough."""

    def __init__(self, room: int = 10**9) -> None:
        self.room, self.taken, self.closed = room, list[bytes](), False
        self.outbox = Outbox(cast(asyncio.Transport, self))

    def write(self, data: bytes) -> None:
        assert not self.outbox.blocked and not self.closed
        self.taken.append(bytes(data))
        self.room -= 1
        self.outbox.blocked = self.room <= 0

    def close(self) -> None:
        self.closed = True

    def reads(self, writes: int) -> None:
        self.room = writes
        self.outbox.blocked = writes <= 0
        self.outbox.push()


SIZES = st.sampled_from([0, 1, 1000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])


@given(st.lists(SIZES, max_size=8), st.integers(0, 4), st.lists(st.integers(0, 3), max_size=8))
def test_everything_arrives_once_and_in_order(sizes: list[int], room: int, turns: list[int]) -> None:
    said = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    peer = Peer()
    peer.reads(room)
    for part in said:
        peer.outbox.write(part)
        peer.reads(turns.pop() if turns else room)
    peer.outbox.close()
    peer.reads(10**9)
    assert b"".join(peer.taken) == b"".join(said)
    assert peer.closed


def test_a_slow_reader_holds_what_is_large_back() -> None:
    peer = Peer(room=2)
    peer.outbox.write(b"x" * (5 * PIECE_BYTES))
    assert [len(piece) for piece in peer.taken] == [PIECE_BYTES] * 2
    assert peer.outbox.full


@pytest.mark.parametrize("room", [0, 5])
def test_a_connection_ends_after_its_last_byte(room: int) -> None:
    peer = Peer()
    peer.reads(room)
    peer.outbox.write(b"last")
    peer.outbox.close()
    assert peer.closed == bool(room)
    peer.reads(1)
    assert peer.closed and peer.taken == [b"last"]


def test_nobody_is_sent_what_he_will_not_read() -> None:
    peer = Peer()
    peer.reads(0)
    peer.outbox.write(b"lost")
    peer.outbox.clear()
    peer.reads(5)
    assert peer.taken == [] and not peer.outbox.full
