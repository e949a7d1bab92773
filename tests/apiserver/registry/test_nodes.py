"""Each Node has a part of the Pod ranges of its own."""

import asyncio
from ipaddress import ip_network

import pytest

from sampan.api.errors import StatusError
from sampan.api.request import Request, UserInfo
from sampan.api.resources import NODES
from sampan.apiserver.registry.nodes import part_of, ranges
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.store.memory import MemoryStore

CIDRS = [ip_network("10.244.0.0/16"), ip_network("fd00:10:244::/56")]


@pytest.mark.parametrize(
    ("taken", "found"),
    [
        (set(), ["10.244.1.0/24", "fd00:10:244:1::/64"]),
        ({"10.244.1.0/24"}, ["10.244.2.0/24", "fd00:10:244:2::/64"]),
        ({"10.244.2.0/24", "fd00:10:244:1::/64"}, ["10.244.3.0/24", "fd00:10:244:3::/64"]),
    ],
)
def test_the_lowest_number_that_is_free_in_all_families(taken, found) -> None:
    assert ranges(CIDRS, taken) == found


def test_there_is_an_end() -> None:
    assert ranges(CIDRS, {part_of(CIDRS[0], number) for number in range(200)}) == []
    assert part_of(ip_network("10.244.0.0/24"), 1) == ""


@pytest.fixture
async def server(keys):
    config = ServerConfig(pki_dir=keys, cluster_cidrs=("10.244.0.0/16", "fd00:10:244::/56"))
    server = ApiServer(config, MemoryStore(), lambda name: None)
    await server.start()
    yield server
    await server.stop()


def transport(server, name: str = "admin", *groups: str):
    return server.transport(UserInfo(name, (*groups, "system:authenticated")))


async def create(there, name: str, **spec):
    return (await there.call(Request("create", NODES, body={"metadata": {"name": name}, "spec": spec})))[
        "spec"
    ]


async def test_nodes_that_register_in_one_moment_get_different_ranges(server) -> None:
    there = transport(server)
    made = await asyncio.gather(*(create(there, f"n{number}") for number in range(5)))
    assert len({spec["podCIDR"] for spec in made}) == 5
    assert all(spec["podCIDRs"][0] == spec["podCIDR"] and len(spec["podCIDRs"]) == 2 for spec in made)


async def test_a_deleted_nodes_ranges_are_given_again(server) -> None:
    there = transport(server)
    first = await create(there, "a")
    await there.call(Request("delete", NODES, name="a"))
    assert await create(there, "b") == first


async def test_a_node_that_knows_its_ranges_keeps_them_unless_they_are_anothers(server) -> None:
    there = transport(server, "system:node:b", "system:nodes")
    await create(transport(server), "a", podCIDR="10.244.0.0/24", podCIDRs=["10.244.0.0/24"])
    with pytest.raises(StatusError, match=r'10\.244\.0\.0/24 belongs to node "a"'):
        await create(there, "b", podCIDR="10.244.0.0/24", podCIDRs=["10.244.0.0/24"])
    spec = await create(there, "b", podCIDR="10.244.7.0/24", podCIDRs=["10.244.7.0/24"])
    assert spec["podCIDRs"] == ["10.244.7.0/24"]
