"""The same as in `test_packet_model`, by real packets: sent from where they come from, answered by endpoints.

A bounded number of worlds, each in namespaces of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.lab import NODE, Lab, Place, lab_in
from harness.packetmodel import Fate, From, Here, Sender, Target, fates, seen_as
from harness.serviceworlds import ENDPOINT_PORTS, RESTART, Cast, Change, changes, senders, targets
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.proxy.proxy import Proxy

pytestmark = pytest.mark.root

WORLDS = int(os.environ.get("SAMPAN_REAL_WORLDS", "20"))
ASKED = 40
"""So many packets are sent after each change, of all that there could be."""
TRIES = 3
"""Each as often, because endpoints are drawn."""
TIMEOUTS_S = (0.5, 5.0, 15.0)
"""Without an answer a packet is taken for dropped; where it should not have been, for slow at first."""
RESOURCES = {"Service": SERVICES, "EndpointSlice": ENDPOINT_SLICES}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Lab, list[Place]]]:
    """A node and two Pods for all worlds. What one leaves in the kernel, the next one's proxy finds."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        lab = runner.run(stack.enter_async_context(lab_in(tmp_path_factory.mktemp("lab"))))
        try:
            yield runner, lab, runner.run(_furnished(lab))
        finally:
            runner.run(stack.aclose())


async def _furnished(lab: Lab) -> list[Place]:
    pods = [await lab.pod(), await lab.pod()]
    for place in (*pods, lab.inside, lab.host):
        for port in ENDPOINT_PORTS:
            await place.serve(port)
    await lab.node.inside(_let_all_errors_through)
    return pods


@settings(
    max_examples=WORLDS,
    deadline=None,
    derandomize="SAMPAN_REAL_WORLDS" not in os.environ,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_real_packets_go_where_the_documentation_says(
    scene: tuple[asyncio.Runner, Lab, list[Place]], data: st.DataObject
) -> None:
    runner, lab, pods = scene
    stage = Stage(lab, cast_of(lab, pods), pods)
    runner.run(stage.play(data.draw(changes(stage.cast))))


def _let_all_errors_through() -> None:
    """The kernel keeps ICMP errors rare; here each of them is an answer."""
    limits = {"icmp_ratelimit": "0", "icmp_msgs_per_sec": "100000", "icmp_msgs_burst": "10000"}
    for path, value in [
        *((Path("/proc/sys/net/ipv4", name), value) for name, value in limits.items()),
        (Path("/proc/sys/net/ipv6/icmp/ratelimit"), "0"),
    ]:
        if path.exists():
            path.write_text(value)


def cast_of(lab: Lab, pods: list[Place]) -> Cast:
    """Everybody answers, so an endpoint elsewhere is the host, which is also who comes from outside."""
    rows = {row.version: row for row in lab.node.plan.families}
    hosts = {version: str(row.host.ip) for version, row in rows.items()}
    pools = {version: row.load_balancers[0] for version, row in rows.items()}
    plan = lab.node.plan
    return Cast(
        Here(NODE, plan.node_ips, (*plan.service_cidrs, *plan.load_balancers)),
        pods={version: tuple(of_version(pod.ips, version) for pod in pods) for version in rows},
        elsewhere={version: (hosts[version],) for version in rows},
        external={version: (str(pool[100]),) for version, pool in pools.items()},
        balancers={version: (str(pool[1]), str(pool[2])) for version, pool in pools.items()},
        outside={version: (Sender(From.OUTSIDE, host),) for version, host in hosts.items()},
        cluster_ips={version: str(row.service_cidr) for version, row in rows.items()},
        ranges=(f"{hosts[4]}/32", str(rows[4].pod_cidr)) if 4 in rows else (),
        protocols=("TCP", "UDP"),
    )


def of_version(ips: tuple[str, ...], version: int) -> str:
    return next(ip for ip in ips if ip_address(ip).version == version)


class Stage:
    def __init__(self, lab: Lab, cast: Cast, pods: list[Place]) -> None:
        self.lab, self.cast = lab, cast
        self.objects: dict[tuple[str, str], Obj] = {}
        everybody = (*pods, lab.inside, lab.host)
        self._places: Mapping[str, Place] = {ip: place for place in everybody for ip in place.ips}
        self._random = random.Random(ASKED)

    async def play(self, story: list[list[Change]]) -> None:
        try:
            await self._play(story)
        finally:
            for kind, name in self.objects:
                self.lab.api.remove(RESOURCES[kind], name, "default")

    async def _play(self, story: list[list[Change]]) -> None:
        first, *rest = story
        for change in first:
            self.happen(change)
        while True:
            async with self.lab.proxy() as proxy:
                await self.compare(proxy)
                while rest and RESTART not in rest[0]:
                    for change in rest.pop(0):
                        self.happen(change)
                    await self.lab.settle()
                    await self.compare(proxy)
            if not rest:
                return
            for change in rest.pop(0):
                if change != RESTART:
                    self.happen(change)

    def happen(self, change: Change) -> None:
        key = (change.kind, change.name)
        if change.obj is not None:
            self.objects[key] = change.obj
            self.lab.api.add(change.obj)
        elif self.objects.pop(key, None) is not None:
            self.lab.api.remove(RESOURCES[change.kind], change.name, "default")

    async def compare(self, proxy: Proxy) -> None:
        assert await proxy.audit() == 0
        services = [obj for (kind, _), obj in self.objects.items() if kind == "Service"]
        slices = [obj for (kind, _), obj in self.objects.items() if kind == "EndpointSlice"]
        asked = [
            (sender, target, possible)
            for target in targets(services, self.cast)
            for sender in senders(ip_address(target.address).version, self.cast)
            if (possible := fates(services, slices, self.cast.here, sender, target)) is not None
        ]
        chosen = self._random.sample(asked, min(len(asked), ASKED))
        await asyncio.gather(*(self._ask(*each) for each in chosen))

    async def _ask(self, sender: Sender, target: Target, possible: list[Fate]) -> None:
        for _ in range(TRIES):
            for timeout_s in TIMEOUTS_S:
                seen = await self._answer(sender, target, timeout_s)
                agreeing = [fate for fate in possible if self._agrees(seen, fate, sender)]
                if agreeing or seen != "dropped":
                    break
            assert agreeing, f"{sender} -> {target}: {seen}; documented: {possible}"

    def _agrees(self, seen: str, fate: Fate, sender: Sender) -> bool:
        if fate.refused:
            return seen in (fate.refused, "refused")
        server, _, client = seen.partition(" ")
        return server in {address for address, _ in fate.endpoints} and client in seen_as(
            fate, sender, server, self.cast.here
        )

    async def _answer(self, sender: Sender, target: Target, timeout_s: float) -> str:
        """`SERVER CLIENT`, or how the packet was refused; a node's own datagram does not tell how."""
        kind = socket.SOCK_STREAM if target.protocol == "tcp" else socket.SOCK_DGRAM
        loop = asyncio.get_running_loop()
        with await self._places[sender.address].socket(kind, sender.address) as client:
            try:
                async with asyncio.timeout(timeout_s):
                    await loop.sock_connect(client, (target.address, target.port))
                    if kind == socket.SOCK_DGRAM:
                        await loop.sock_sendall(client, b"?")
                    return (await loop.sock_recv(client, 100)).decode()
            except TimeoutError:
                return "dropped"
            except ConnectionRefusedError:
                return "rejected"
            except PermissionError:
                return "refused"
