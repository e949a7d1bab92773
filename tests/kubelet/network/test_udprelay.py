"""The flows of a relay; that the kernel leads datagrams to it is shown in test_egress."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from sampan.kubelet.network import udprelay
from sampan.kubelet.network.fake import Here
from sampan.kubelet.network.udprelay import UdpRelay


class Echo(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.seen.append(data)


@pytest.fixture
async def far() -> AsyncIterator[tuple[str, int]]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Echo, local_addr=("127.0.0.1", 0)
    )
    yield transport.get_extra_info("sockname")[:2]
    transport.close()


class Elsewhere(Here):
    """Where nobody else has the far end's address: nowhere, so no socket is ever made."""

    async def socket(self, family: int, kind: int) -> socket.socket:
        await asyncio.Event().wait()
        raise AssertionError


@contextlib.contextmanager
def relaying() -> Iterator[UdpRelay]:
    relay = UdpRelay(Elsewhere(), socket.AF_INET, ())
    try:
        yield relay
    finally:
        relay.close()


async def test_flows_of_one_client_do_not_crowd_out_others(
    far: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udprelay, "MOST_OF_ONE_CLIENT", 3)
    monkeypatch.setattr(udprelay, "MOST_FLOWS", 5)
    with relaying() as relay:
        relay._begin(("127.0.0.9", 1), far)
        for port in range(1, 9):
            relay._begin(("127.0.0.8", port), far)
        assert len(relay) == 4
        assert (("127.0.0.9", 1), far) in relay._flows
        assert [client[1] for client, _ in relay._flows if client[0] == "127.0.0.8"] == [6, 7, 8]


async def test_the_flow_unused_for_longest_makes_room(
    far: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udprelay, "MOST_FLOWS", 3)
    with relaying() as relay:
        first = relay._begin(("127.0.0.1", 1), far)
        for host in (2, 3):
            relay._begin((f"127.0.0.{host}", 1), far)
        assert first is not None
        first.outward(b"still here")
        relay._begin(("127.0.0.4", 1), far)
        assert [client[0][-1] for client, _ in relay._flows] == ["3", "1", "4"]


async def test_idle_flows_end_and_then_nothing_ticks(
    far: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udprelay, "IDLE_S", 0.05)
    with relaying() as relay:
        relay._begin(("127.0.0.1", 1), far)
        for _ in range(500):
            if not len(relay):
                break
            await asyncio.sleep(0.01)
        assert not len(relay)
        assert relay._timer is None
        assert not relay._by_client


async def test_a_place_that_cannot_be_reached_is_no_flow() -> None:
    with relaying() as relay:
        assert relay._begin(("127.0.0.1", 1), ("255.255.255.255", 9)) is None
        assert not len(relay)


async def test_a_far_end_that_refuses_ends_the_flow() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        target = taken.getsockname()
    with relaying() as relay:
        flow = relay._begin(("127.0.0.1", 1), target)
        assert flow is not None
        flow.outward(b"anybody?")
        flow.outward(b"nobody")
        assert not len(relay)
