from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.apiserver.registry.nodeports import NodePorts, held_by


def spec(kind: str = "NodePort", **fields):
    return {"type": kind, "ports": [{"port": 80, "protocol": "TCP"}], **fields}


def taken_by(ports: NodePorts, given, owner: str = "a", kept=frozenset()):
    taken: list[int] = []
    return ports.take(given, set(kept), owner, taken), taken


def test_only_types_that_have_node_ports_get_them() -> None:
    ports = NodePorts(30000, 30009)
    for kind, count in (("ClusterIP", 0), ("ExternalName", 0), ("NodePort", 1), ("LoadBalancer", 1)):
        assert len(taken_by(ports, spec(kind))[1]) == count


def test_a_range_of_another_size_is_kept_to() -> None:
    ports = NodePorts(8000, 8001)
    broken, _ = taken_by(ports, spec(ports=[{"port": 80, "nodePort": 30000}]))
    assert broken is not None and broken.text == (
        "spec.ports[0].nodePort: Invalid value: 30000: provided port is not in the valid range. "
        "The range of valid ports is 8000-8001"
    )
    taken_by(ports, spec()), taken_by(ports, spec(), "b")
    with pytest.raises(StatusError, match="failed to allocate a nodePort: range is full"):
        taken_by(ports, spec(), "c")


def test_what_a_service_has_stays_its_own_outside_of_the_range() -> None:
    given = spec(ports=[{"port": 80, "nodePort": 30000}])
    assert taken_by(NodePorts(8000, 8001), given, kept={30000}) == (None, [])


def test_health_checks_take_from_the_same_pool() -> None:
    ports = NodePorts(30000, 30001)
    given = spec("LoadBalancer", externalTrafficPolicy="Local")
    assert sorted(taken_by(ports, given)[1]) == [30000, 30001]
    assert held_by({"spec": given}) == {30000, 30001}
    with pytest.raises(StatusError, match="failed to allocate a HealthCheck NodePort 0: range is full"):
        taken_by(ports, spec("LoadBalancer", externalTrafficPolicy="Local", ports=[]), "b")


def test_the_same_port_of_several_protocols_has_one_node_port() -> None:
    ports = NodePorts(30000, 30009)
    given = spec(ports=[{"port": 53, "protocol": kind} for kind in ("TCP", "UDP", "SCTP")])
    _, taken = taken_by(ports, given)
    assert len(taken) == 1 and {port["nodePort"] for port in given["ports"]} == set(taken)
    asked = spec(ports=[{"port": 54, "protocol": "TCP"}, {"port": 54, "protocol": "UDP", "nodePort": 30009}])
    taken_by(ports, asked, "b")
    assert {port["nodePort"] for port in asked["ports"]} == {30009}


def test_where_the_node_itself_answers_is_no_services() -> None:
    ports = NodePorts(1, 65535, reserved={53, 10250})
    broken, _ = taken_by(ports, spec(ports=[{"port": 80, "nodePort": 10250}]))
    assert broken is not None and broken.text.endswith("provided port is already allocated")
    assert taken_by(ports, spec(ports=[{"port": 80, "nodePort": 443}])) == (None, [443])
    small = NodePorts(10249, 10251, reserved={10250})
    assert sorted(taken_by(small, spec())[1] + taken_by(small, spec(), "b")[1]) == [10249, 10251]
