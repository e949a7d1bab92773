"""Sockets at hand: few journeys, none kept that nobody wants."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.fake import Here
from sampan.kubelet.socketstock import MANY, SocketStock

pytestmark = pytest.mark.virtual_time


class Counted(Here):
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fault: Exception | None = None

    async def sockets(self, family: int, kind: int, count: int) -> list[socket.socket]:
        self.batches.append(count)
        if self.fault is not None:
            raise self.fault
        await asyncio.sleep(0)
        return await super().sockets(family, kind, count)


async def test_batches_grow_with_the_demand() -> None:
    netns, taken = Counted(), []
    stock = SocketStock(netns)
    for _ in range(100):
        stock.take(socket.AF_INET, taken.append)
        await asyncio.sleep(0.001)
    assert len({sock.fileno() for sock in taken}) == 100
    assert netns.batches[0] == 2 and max(netns.batches) == MANY and len(netns.batches) < 10
    stock.close()
    for sock in taken:
        sock.close()


async def test_many_at_once_are_all_served() -> None:
    netns, taken = Counted(), []
    stock = SocketStock(netns)
    for _ in range(50):
        stock.take(socket.AF_INET6, taken.append)
    await asyncio.sleep(0.05)
    assert len(taken) == 50 and {sock.family for sock in taken} == {socket.AF_INET6}
    stock.close()
    for sock in taken:
        sock.close()


async def test_a_namespace_that_is_gone_is_told_to_all_who_wait() -> None:
    netns, heard = Counted(), []
    netns.fault = NetworkFault("no network namespace")
    stock = SocketStock(netns)
    for _ in range(3):
        stock.take(socket.AF_INET, heard.append)
    await asyncio.sleep(0.01)
    assert heard == [netns.fault] * 3
    netns.fault = None
    stock.take(socket.AF_INET, heard.append)
    await asyncio.sleep(0.01)
    assert isinstance(heard[-1], socket.socket)
    heard[-1].close()
    stock.close()
