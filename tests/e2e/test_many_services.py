"""Numbers that are not small: a thousand Services that come and go, a thousand endpoints of one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess

from harness.churn import service, slice_of
from harness.crowd import connected, make_services, make_slices
from harness.nftables import Packet, Ruleset
from harness.node import Node, eventually
from sampan.api.resources import ENDPOINT_SLICES, SERVICES

COUNT = int(os.environ.get("SAMPAN_MANY_SERVICES", "1000"))
SLICES, A_SLICE = 10, 100


def listing(node: Node) -> str:
    """The proxy's table, as the kernel has it."""
    words = ["nsenter", f"--net={node.data}/run/node.net", "nft", "-j", "list", "table", "inet", "sampan"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def in_kernel(node: Node, addresses: set[str]) -> int:
    """How many of these addresses are led on."""
    ruleset = Ruleset(listing(node), frozenset())
    return len(addresses & {key[0] for key in ruleset.sets["fe4"]})


def test_a_thousand_services_come_and_go(node: Node, namespace: str) -> None:
    async def come() -> None:
        async with connected(node) as client:
            await make_services(client, namespace, COUNT)
            await make_slices(client, namespace, COUNT)

    asyncio.run(come())
    assert node.kubectl("get", "services", "-n", namespace, "--no-headers").out.count("\n") == COUNT
    addresses = {each["spec"]["clusterIP"] for each in node.list("services", namespace)}
    assert len(addresses) == COUNT
    eventually(lambda: in_kernel(node, addresses) == COUNT)

    async def go() -> None:
        async with connected(node) as client:
            for resource in (SERVICES, ENDPOINT_SLICES):
                await client.delete_collection(resource, namespace)

    asyncio.run(go())
    eventually(lambda: in_kernel(node, addresses) == 0, 60)


def test_a_service_with_a_thousand_endpoints(node: Node, namespace: str) -> None:
    def piece(number: int, first: str) -> dict[str, object]:
        addresses = [first, *(f"192.0.{2 + number}.{host}" for host in range(2, A_SLICE + 1))]
        made = slice_of(namespace, "wide", [{"addresses": [address]} for address in addresses])
        return made | {"metadata": made["metadata"] | {"name": f"wide-{number}"}}

    async def made() -> str:
        async with connected(node) as client:
            created = await client.create(SERVICES, service(namespace, "wide"))
            for number in range(SLICES):
                await client.create(ENDPOINT_SLICES, piece(number, f"192.0.{2 + number}.1"))
            address: str = created["spec"]["clusterIP"]
            return address

    def reached(address: str) -> set[str]:
        packet = Packet("10.0.0.1", address, "tcp", 80)
        return {outcome.address for outcome in Ruleset(listing(node), frozenset()).outcomes(packet)}

    address = asyncio.run(made())
    everybody = {f"192.0.{2 + n}.{host}" for n in range(SLICES) for host in range(1, A_SLICE + 1)}
    eventually(lambda: reached(address) == everybody)
    node.apply(json.dumps(piece(7, "192.0.2.254")), namespace)
    eventually(lambda: reached(address) == everybody - {"192.0.9.1"} | {"192.0.2.254"})
