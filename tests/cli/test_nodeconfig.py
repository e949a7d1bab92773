from pathlib import Path

import pytest

from sampan.cli import nodeconfig
from sampan.cli.cluster import Choices, Cluster
from sampan.client.client import Client
from sampan.client.fake import FakeTransport

CLUSTER = Cluster("one", Path("/d"))


async def test_what_the_cluster_publishes_is_what_its_nodes_read() -> None:
    client = Client(FakeTransport())
    told = nodeconfig.of(CLUSTER, Choices(6443, "one", mirrors={"docker.io": "http://m"}))
    await nodeconfig.publish(client, told)
    assert await nodeconfig.fetch(client) == told
    changed = nodeconfig.of(CLUSTER, Choices(6443, "one", overlay=True))
    await nodeconfig.publish(client, changed)
    assert (await nodeconfig.fetch(client)).overlay


@pytest.mark.parametrize("data", [{}, {"node": "{"}, {"node": '{"a": 1}'}])
def test_what_cannot_be_read_is_told(data: dict[str, str]) -> None:
    with pytest.raises(nodeconfig.NoConfig, match="sampan-config cannot be read"):
        nodeconfig.read({"data": data})


def test_a_nodes_directory_remembers_what_it_is_part_of(tmp_path: Path) -> None:
    place = Cluster("n", tmp_path)
    assert nodeconfig.membership(place) is None
    nodeconfig.remember(place, 3, ["10.244.3.0/24"], nodeconfig.of(CLUSTER, Choices(6443, "one")))
    assert nodeconfig.membership(place) == nodeconfig.Membership(
        3, "one", "/d/addresses.json", "/d/run/lan.net", ["10.244.3.0/24"]
    )
    (tmp_path / "node.json").write_text("{}")
    assert nodeconfig.membership(place) is None
