"""A client stays with its endpoint: as text, as elements, and by packets through the kernel's own memory."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from harness.lab import Lab, Place, endpoint, service, slice_of
from sampan.api.objects import Obj
from sampan.proxy.affinity import chain_of, text
from sampan.proxy.table import STICKY

WEB = [{"name": "", "port": 8080, "protocol": "TCP"}]


def test_chain_of_a_class() -> None:
    assert (chain_of(3), chain_of(STICKY | 10_800)) == ("n3", "t10800")


def test_ipv6_clients_are_hashed_alike_wherever_they_are_looked_for() -> None:
    lines = [line for line in text([6], "", [60], [2]).splitlines() if "ip6 saddr" in line]
    assert len(lines) == 3
    assert all("jhash ip6 saddr mod 2147483647 seed 0x5a3b" in line for line in lines)


def test_only_the_families_there_are() -> None:
    assert "aff6" not in text([4], "", [60], [2])
    assert "aff4" not in text([6], "", [60], [2])


def sticky(address: str, seconds: int = 10_800, **spec: object) -> Obj:
    return service(
        "web",
        address,
        {"port": 80, "nodePort": 30080},
        type="NodePort",
        sessionAffinity="ClientIP",
        sessionAffinityConfig={"clientIP": {"timeoutSeconds": seconds}},
        **spec,
    )


async def servers(lab: Lab, count: int) -> list[Place]:
    pods = [await lab.pod() for _ in range(count)]
    for pod in pods:
        await pod.serve(8080)
    return pods


async def answers(lab: Lab, client: Place, times: int = 12, address: str = "", port: int = 80) -> set[str]:
    return {(await client.ask(address or lab.vip(20), port)).split()[0] for _ in range(times)}


@pytest.mark.root
async def test_each_client_has_its_endpoint_and_keeps_it(lab: Lab) -> None:
    pods = await servers(lab, 4)
    clients = [*[await lab.pod() for _ in range(10)], lab.inside, lab.host]
    lab.api.add(sticky(lab.vip(20)), slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)))
    async with lab.proxy() as proxy:
        met = [await answers(lab, client) for client in clients]
        assert all(len(one) == 1 for one in met), met
        assert len(set().union(*met)) > 1, "clients are spread"
        assert await proxy.audit() == 0
        # Others come: nobody who has an endpoint moves.
        more = await servers(lab, 2)
        lab.api.add(slice_of("web", WEB, *(endpoint(pod.ip) for pod in (*more, *pods))))
        await lab.settle()
        assert [await answers(lab, client, 4) for client in clients] == met
        assert await proxy.audit() == 0


@pytest.mark.root
async def test_clients_of_a_dead_endpoint_draw_again_once_and_the_others_stay(lab: Lab) -> None:
    pods = await servers(lab, 3)
    clients = [await lab.pod() for _ in range(9)]
    lab.api.add(sticky(lab.vip(20)), slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)))
    async with lab.proxy() as proxy:
        met = [await answers(lab, client, 2) for client in clients]
        gone = next(iter(met[0]))
        rest = [pod for pod in pods if pod.ip != gone]
        lab.api.add(slice_of("web", WEB, *(endpoint(pod.ip) for pod in rest)))
        await lab.settle()
        after = [await answers(lab, client) for client in clients]
        assert all(len(one) == 1 for one in after), after
        assert gone not in set().union(*after)
        assert [b for a, b in zip(met, after, strict=True) if gone not in a] == [
            a for a in met if gone not in a
        ]
        assert await proxy.audit() == 0


@pytest.mark.root
async def test_memory_outlives_the_proxy_and_another_version_of_the_rules(lab: Lab) -> None:
    pods = await servers(lab, 4)
    clients = [await lab.pod() for _ in range(6)]
    lab.api.add(sticky(lab.vip(20)), slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)))
    async with lab.proxy():
        met = [await answers(lab, client, 2) for client in clients]
    async with lab.proxy() as proxy:
        assert [await answers(lab, client, 4) for client in clients] == met
        assert await proxy.audit() == 0
    listing = await lab.node.execute(("nft", "list", "table", "inet", "sampan"))
    version = next(line.split()[1] for line in listing.splitlines() if "chain version_" in line)
    await lab.node.load_nft(f"delete chain inet sampan {version}\n")
    async with lab.proxy() as proxy:
        assert [await answers(lab, client, 4) for client in clients] == met
        assert await proxy.audit() == 0


@pytest.mark.root
async def test_memory_is_refreshed_by_use_and_ends_when_idle(lab: Lab) -> None:
    pods = await servers(lab, 3)
    client = await lab.pod()
    lab.api.add(sticky(lab.vip(20), 100), slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)))

    async def age(left: str) -> None:
        """Makes the kernel believe that the client has not come for a while."""
        element = f"1 . {client.ip}"
        found = await remembered(lab)
        await lab.node.load_nft(
            f"delete element inet sampan aff4 {{ {element} }}\n"
            f"add element inet sampan aff4 {{ {element} timeout 100s expires {left} : {found[1]} }}\n"
        )

    async with lab.proxy():
        first = await answers(lab, client, 1)
        await age("20s")
        assert await answers(lab, client, 1) == first
        assert (await remembered(lab))[0] > 20
        met = set()
        for _ in range(60):
            await age("1ms")
            await asyncio.sleep(0.01)
            met |= await answers(lab, client, 1)
        assert met == {pod.ip for pod in pods}


async def remembered(lab: Lab) -> tuple[int, int]:
    """Of the only client: for how many more seconds, and its seat."""
    listing = await lab.node.execute(("nft", "list", "map", "inet", "sampan", "aff4"))
    found = re.search(r"expires (?:(\d+)m)?(?:(\d+)s)?(?:\d+ms)? : 0x([0-9a-f]+)", listing)
    assert found, listing
    return int(found[1] or 0) * 60 + int(found[2] or 0), int(found[3], 16)


@pytest.mark.root
async def test_affinity_comes_and_goes_in_place(lab: Lab) -> None:
    pods = await servers(lab, 3)
    client = await lab.pod()
    plain = sticky(lab.vip(20))
    plain["spec"]["sessionAffinity"] = "None"
    lab.api.add(plain, slice_of("web", WEB, *(endpoint(pod.ip) for pod in pods)))
    async with lab.proxy() as proxy:
        everybody = {pod.ip for pod in pods}
        assert await answers(lab, client, 40) == everybody
        lab.api.add(sticky(lab.vip(20), 100))
        await lab.settle()
        one = await answers(lab, client)
        assert len(one) == 1
        lab.api.add(sticky(lab.vip(20), 5000))
        await lab.settle()
        assert await answers(lab, client) == one, "another timeout forgets nobody"
        lab.api.add(plain)
        await lab.settle()
        assert await answers(lab, client, 40) == everybody
        assert await proxy.audit() == 0


@pytest.mark.root
async def test_behind_a_node_port_by_local_policy(lab: Lab) -> None:
    pods = await servers(lab, 4)
    lab.api.add(
        sticky(lab.vip(20), externalTrafficPolicy="Local"),
        slice_of(
            "web", WEB, *(endpoint(pod.ip, "node-1" if n < 3 else "other") for n, pod in enumerate(pods))
        ),
    )
    async with lab.proxy() as proxy:
        seen = Counter([await lab.host.ask(lab.inside.ip, 30080) for _ in range(12)])
        (answer,) = seen
        server, source = answer.split()
        assert source == lab.host.ip
        assert server in {pod.ip for pod in pods[:3]}
        assert await proxy.audit() == 0


@pytest.mark.root
async def test_endpoints_change_under_sticky_load_without_a_failure(lab: Lab) -> None:
    pods = await servers(lab, 3)
    clients = [await lab.pod() for _ in range(3)]
    pieces = [
        slice_of("web", WEB, *(endpoint(pod.ip) for n, pod in enumerate(pods) if n != gone))
        for gone in range(4)
    ]
    lab.api.add(sticky(lab.vip(20)), pieces[3])
    stop = asyncio.Event()
    asked = 0

    async def load(client: Place) -> None:
        nonlocal asked
        while not stop.is_set():
            assert await client.ask(lab.vip(20), 80)
            asked += 1

    async with lab.proxy() as proxy, asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(load(client))
        for n in range(200):
            lab.api.add(pieces[n % 4])
            await asyncio.sleep(0.003)
        stop.set()
        assert await proxy.audit() == 0
    assert asked > 50
