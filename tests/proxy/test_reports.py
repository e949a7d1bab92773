from __future__ import annotations

import asyncio
import socket

import pytest

from sampan.api.clock import now
from sampan.api.objects import Obj
from sampan.proxy.config import ProxyConfig
from sampan.proxy.reports import TRIGGER_TIME, Reports

pytestmark = pytest.mark.virtual_time

CONFIG = ProxyConfig("node-1", ("127.0.0.1",), ("10.244.0.0/24",), ("10.96.0.0/16",))


async def no_socket(family: int, kind: int, proto: int) -> socket.socket:
    raise OSError("taken")


def reports(config: ProxyConfig = CONFIG) -> Reports:
    return Reports(config, no_socket, list, dict, lambda service, port, error: None)


def piece(trigger: str) -> Obj:
    return {"metadata": {"annotations": {TRIGGER_TIME: trigger} if trigger else {}}}


def test_programming_is_measured_from_what_triggered_it() -> None:
    made = reports()
    made.queued(None, piece(now()))
    made.queued(None, piece(""))
    made.synced(0.001)
    made.synced(0.001)
    assert sum(made.numbers.programming_s.counts) == 1
    assert sum(made.numbers.sync_s.counts) == 2
    same = piece(now())
    made.queued(same, same)
    made.synced(0.001)
    assert sum(made.numbers.programming_s.counts) == 1
    assert made.numbers.changes["endpoint"] == 3


def test_what_was_there_at_the_start_is_not_counted() -> None:
    made = reports()
    made.queued(None, piece("2020-01-01T00:00:00Z"))
    made.forget_triggers()
    made.synced(0.001)
    assert not sum(made.numbers.programming_s.counts)


async def test_taken_port_does_not_end_the_proxy() -> None:
    made = reports(ProxyConfig("n", ("127.0.0.1",), ("10.0.0.0/24",), ("10.96.0.0/16",), health_port=1))
    running = asyncio.create_task(made.run())
    done, _ = await asyncio.wait([running], timeout=0.05)
    assert not done
    running.cancel()
