"""What the documentation says of packets to Services against what the kernel's rules do with them.

Random Services, slices and changes go through the proxy into a real kernel; the table is read back, and every
packet that could mean anything is walked through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from harness.nftables import Outcome, Packet, Ruleset
from harness.packetmodel import Fate, From, Sender, fates, seen_as
from harness.serviceworlds import ALL, RESTART, Change, changes, senders, targets
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.network import namespace
from sampan.proxy.fake import FakeConntrack
from sampan.proxy.proxy import Proxy, ProxyConfig

pytestmark = pytest.mark.root

EXAMPLES = int(os.environ.get("SAMPAN_PACKET_WORLDS", "80"))
"""For a long run by hand: `SAMPAN_PACKET_WORLDS=2000 pytest tests/proxy/test_packet_model.py`."""
HERE = ALL.here
CONFIG = ProxyConfig(
    HERE.name,
    HERE.ips,
    pod_cidrs=("10.244.0.0/24", "fd44::/64"),
    service_cidrs=("10.96.0.0/16", "fd96::/108"),
    cluster_cidrs=("10.244.0.0/16", "fd44::/48"),
    load_balancers=("100.65.0.0/24", "fd65::/112"),
)
NODE: Obj = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": HERE.name, "labels": {"topology.kubernetes.io/zone": HERE.zone}},
    "spec": {},
}
TURNS = 100
"""Of the event loop: after fewer, what was stored is in the kernel."""
RESOURCES = {"Service": SERVICES, "EndpointSlice": ENDPOINT_SLICES}
LOCAL = frozenset({*HERE.ips, "127.0.0.1", "::1"})


class World:
    """A proxy that programs a namespace with nothing in it."""

    def __init__(self, pin: Path, traveller: namespace.Traveller) -> None:
        self._pin, self._traveller = pin, traveller
        self.api = FakeTransport(NODE)
        self.objects: dict[tuple[str, str], Obj] = {}

    @contextlib.asynccontextmanager
    async def proxy(self) -> AsyncIterator[Proxy]:
        client = Client(self.api)
        informers = Informers(client)
        proxy = Proxy(client, informers, self._socket, self._load, CONFIG, conntrack=FakeConntrack())
        tasks = [asyncio.create_task(informers.run()), asyncio.create_task(proxy.run())]
        try:
            waiting = asyncio.create_task(proxy.wait_synced())
            async with asyncio.timeout(30):
                await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            yield proxy
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def happen(self, change: Change) -> None:
        key = (change.kind, change.name)
        if change.obj is not None:
            self.objects[key] = change.obj
            self.api.add(change.obj)
        elif self.objects.pop(key, None) is not None:
            self.api.remove(RESOURCES[change.kind], change.name, "default")

    def of_kind(self, kind: str) -> list[Obj]:
        return [obj for (of, _), obj in self.objects.items() if of == kind]

    def rules(self) -> Ruleset:
        return Ruleset(self._nft("-j", "list", "table", "inet", "sampan"), LOCAL)

    def _nft(self, *words: str, text: str = "") -> str:
        argv = ["nsenter", f"--net={self._pin}", "nft", *words]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def _load(self, text: str) -> None:
        self._nft("-f", "-", text=text)

    async def _socket(self, family: int, kind: int, proto: int) -> socket.socket:
        return await self._traveller.socket(self._pin, family, kind, proto)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, namespace.Traveller]]:
    """A network namespace; its rules go from one world to the next, which has to clear up after it."""
    pin = tmp_path_factory.mktemp("kernel") / "net"
    traveller = namespace.Traveller("packet-model")
    namespace.create(pin)
    yield pin, traveller
    traveller.close()
    namespace.unpin(pin)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="SAMPAN_PACKET_WORLDS" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=changes())
def test_every_packet_goes_where_the_documentation_says(
    kernel: tuple[Path, namespace.Traveller], story: list[list[Change]]
) -> None:
    asyncio.run(_told(World(*kernel), story))


async def _told(world: World, story: list[list[Change]]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        proxy = None
        for batch in story:
            for change in batch:
                if change != RESTART:
                    world.happen(change)
            if proxy is None or RESTART in batch:
                await stack.aclose()
                proxy = await stack.enter_async_context(world.proxy())
            for _ in range(TURNS):
                await asyncio.sleep(0)
            assert await proxy.audit() == 0
            compare(world)


def compare(world: World) -> None:
    rules = world.rules()
    services, slices = world.of_kind("Service"), world.of_kind("EndpointSlice")
    for target in targets(services):
        for sender in senders(ip_address(target.address).version):
            possible = fates(services, slices, HERE, sender, target)
            packet = Packet(
                sender.address, target.address, target.protocol, target.port, sender.kind is From.NODE
            )
            outcomes = rules.outcomes(packet)
            if possible is None:
                assert outcomes == {Outcome("passed", target.address, target.port, sender.address)}, packet
            else:
                agreeing = [fate for fate in possible if agrees(outcomes, fate, sender)]
                assert agreeing, f"{packet} -> {sorted(outcomes)}; documented: {possible}"


def agrees(outcomes: set[Outcome], fate: Fate, sender: Sender) -> bool:
    if fate.refused:
        return outcomes == {Outcome(fate.refused)}
    reached = {(outcome.address, outcome.port) for outcome in outcomes if outcome.what == "passed"}
    return (
        reached == fate.endpoints
        and all(outcome.what == "passed" for outcome in outcomes)
        and all(outcome.source in seen_as(fate, sender, outcome.address, HERE) for outcome in outcomes)
    )
