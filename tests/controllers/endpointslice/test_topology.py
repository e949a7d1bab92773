"""What the user is told of hints: each thing once, until it is another."""

from __future__ import annotations

from harness.world import World
from sampan.api.objects import Obj
from sampan.controllers.endpointslice.endpoints import Group
from sampan.controllers.endpointslice.nodes import Nodes
from sampan.controllers.endpointslice.topology import Topology

IPV4, IPV6 = Group("IPv4", ()), Group("IPv6", ())
SERVICE: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default", "uid": "s"},
    "spec": {"ipFamilies": ["IPv4", "IPv6"]},
}


def node(name: str, zone: str) -> Obj:
    labels = {"topology.kubernetes.io/zone": zone}
    ready = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": "2"}, "conditions": ready},
    }


def endpoint(zone: str) -> Obj:
    return {"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "zone": zone}


async def test_each_family_for_itself_and_nothing_twice() -> None:
    world, nodes = World(), Nodes()
    nodes.change(None, node("a", "x"))
    nodes.change(None, node("b", "y"))
    topology = Topology(world.events, nodes)
    wanted = {IPV4: {"u": endpoint("x"), "v": endpoint("y")}, IPV6: {"u": endpoint("x")}}
    for _ in range(2):
        found = topology.apply(SERVICE, wanted, [])
        assert [each["hints"]["forZones"][0]["name"] for each in found[IPV4].values()] == ["x", "y"]
        assert found[IPV6] == wanted[IPV6]
    assert "hints" not in wanted[IPV4]["u"], "what is kept elsewhere is not written to"
    for _ in range(2):
        topology.leave(SERVICE)
    assert await world.messages("TopologyAwareHintsEnabled") == [
        "Topology Aware Hints has been enabled, addressType: IPv4"
    ]
    assert await world.messages("TopologyAwareHintsDisabled") == [
        "Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv6",
        "Topology Aware Hints has been disabled, addressType: IPv4",
    ]


async def test_who_is_forgotten_is_told_anew() -> None:
    world = World()
    topology = Topology(world.events, Nodes())
    topology.apply(SERVICE, {IPV4: {}, IPV6: {}}, [])
    topology.forget("default/web")
    topology.leave(SERVICE)
    assert len(await world.messages("TopologyAwareHintsDisabled")) == 2
