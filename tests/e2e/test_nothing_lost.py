"""Nothing is lost, whatever happens to a Service: clients that never stop asking see no failure.

All the while there are a client that connects anew for each request, one that keeps its connection and one
that asks by UDP from one socket. The servers are told to end and count what still comes then: nobody may.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from harness.churn import Churn
from harness.node import Node, eventually
from harness.shop import SERVICE, UNREADY, Shop, deployment
from mirror import Mirror

ROUNDS = int(os.environ.get("SAMPAN_LOST_ROUNDS", "1"))
"""How often each thing happens; more for a long run by hand."""


@pytest.fixture(scope="module")
def built(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """On a node that may be killed without anybody else's test noticing."""
    node = Node(tmp_path_factory.mktemp("shop"), f"lost-{os.getpid()}", mirror.url)
    node.up()
    try:
        yield Shop(node, tmp_path_factory.mktemp("results"))
    finally:
        node.down()


@pytest.fixture
def shop(built: Shop) -> Shop:
    """As it is in the beginning, whatever the test before left."""
    built.open()
    return built


def rolling_update(shop: Shop) -> None:
    ended = len(shop.ended())
    shop.kubectl("set", "env", "deployment/blue", f"MOMENT={time.monotonic()}")
    shop.node.rolled_out("blue", shop.namespace)
    eventually(lambda: len(shop.ended()) >= ended + 3)


def scaling(shop: Shop) -> None:
    for replicas in (1, 3):
        shop.kubectl("scale", "deployment/blue", f"--replicas={replicas}")
        eventually(lambda n=replicas: len(shop.ready()) == n and len(shop.pods()) == n)


def deletion(shop: Shop) -> None:
    for pod in shop.pods()[:2]:
        shop.kubectl("delete", "pod", pod)
        eventually(lambda: len(shop.ready()) == 3)


def end_by(number: signal.Signals) -> Callable[[Shop], None]:
    def restart(shop: Shop) -> None:
        shop.node.end(number)
        time.sleep(0.5)
        shop.node.up()

    return restart


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(rolling_update, id="a rolling update"),
        pytest.param(scaling, id="scaling down and up"),
        pytest.param(end_by(signal.SIGKILL), id="sampan killed and up again"),
        pytest.param(end_by(signal.SIGTERM), id="sampan stopped and up again, as for an upgrade"),
    ],
)
def test_no_client_notices(shop: Shop, happens: Callable[[Shop], None]) -> None:
    for _ in range(ROUNDS):
        with shop.busy():
            happens(shop)


def test_a_server_that_is_not_ready_keeps_whom_it_has_and_gets_nobody_new(shop: Shop) -> None:
    with shop.busy(), Kept(shop.address) as kept:
        shop.kubectl("exec", kept.pod, "--", "touch", UNREADY)
        eventually(lambda: kept.pod not in shop.ready())
        eventually(lambda: kept.pod not in {ask_once(shop.address) for _ in range(20)})
        assert kept.ask() == kept.pod
        shop.kubectl("exec", kept.pod, "--", "rm", UNREADY)
        eventually(lambda: kept.pod in {ask_once(shop.address) for _ in range(20)})


def test_the_selector_switches_everybody_new_and_nobody_who_is_there(shop: Shop) -> None:
    shop.node.apply(deployment("green", 2, shop.results), shop.namespace)
    shop.node.rolled_out("green", shop.namespace)
    green, blue = ({*shop.pods(f"app={colour}")} for colour in ("green", "blue"))
    with shop.busy(), Kept(shop.address) as kept:
        for colour, pods in (("green", green), ("blue", blue)):
            shop.kubectl("patch", "service", "web", "-p", json.dumps({"spec": {"selector": {"app": colour}}}))
            eventually(lambda pods=pods: {ask_once(shop.address) for _ in range(20)} <= pods)
            assert kept.ask() == kept.pod and kept.pod in blue
    shop.kubectl("delete", "deployment", "green")


def test_a_service_deleted_and_made_anew(shop: Shop) -> None:
    old = shop.address
    with Kept(old) as kept:
        shop.kubectl("delete", "service", "web")
        eventually(lambda: refused(old))
        assert kept.ask() == kept.pod, "an established connection outlives its Service"
        shop.node.apply(SERVICE, shop.namespace)
        eventually(lambda: len(shop.ready()) == 3)
        eventually(lambda: ask_once(shop.address))
        with shop.busy():
            time.sleep(1)
        assert kept.ask() == kept.pod


def test_the_last_connection_comes_before_sigterm_while_100_services_change(shop: Shop) -> None:
    ended = len(shop.ended())
    with Churn(shop.node, shop.namespace, services=100) as churn, shop.busy():
        for _ in range(2 * ROUNDS):
            deletion(shop)
    assert churn.changes > 100, churn
    assert len(shop.ended()) >= ended + 4 * ROUNDS


class Kept:
    """One connection that stays open; `pod` is who answers it."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_connection((address, 80), timeout=5)
        self.pod = self.ask()

    def ask(self) -> str:
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        answer = self._socket.recv(4096).decode()
        return next(line.split()[1] for line in answer.splitlines() if line.startswith("X-Pod"))

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def ask_once(address: str) -> str:
    with Kept(address) as kept:
        return kept.pod


def refused(address: str) -> bool:
    try:
        socket.create_connection((address, 80), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
