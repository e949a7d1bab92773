import pytest

from sampan.api import defaults
from sampan.api.objects import Obj
from sampan.api.resources import resource

POLICIES = resource("networking.k8s.io", "v1", "networkpolicies")
CLASSES = resource("networking.k8s.io", "v1", "ingressclasses")


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"ingress": [{}]}, ["Ingress"]),
        ({"egress": []}, ["Ingress"]),
        ({"egress": [{}]}, ["Ingress", "Egress"]),
        ({"egress": [{}], "policyTypes": ["Egress"]}, ["Egress"]),
    ],
)
def test_a_policy_is_about_egress_only_where_it_has_rules_for_it(spec: Obj, types: list[str]) -> None:
    obj: Obj = {"spec": spec}
    defaults.apply(POLICIES, obj)
    assert obj["spec"]["policyTypes"] == types
    assert obj["spec"]["podSelector"] == {}


def test_ports_are_tcp_in_both_directions() -> None:
    def rules(*ports: Obj) -> Obj:
        return {"ingress": [{"ports": list(ports)}, {}], "egress": [{"ports": list(ports)}]}

    obj: Obj = {"spec": rules({"port": 53, "protocol": "UDP"}, {"port": 53}, {"protocol": ""})}
    defaults.apply(POLICIES, obj)
    for direction in ("ingress", "egress"):
        assert [port["protocol"] for port in obj["spec"][direction][0]["ports"]] == ["UDP", "TCP", "TCP"]


def test_the_parameters_of_an_ingress_class_are_the_clusters() -> None:
    with_parameters, without = {"spec": {"parameters": {"kind": "K"}}}, {"spec": {}}
    for obj in (with_parameters, without):
        defaults.apply(CLASSES, obj)
    assert with_parameters == {"spec": {"parameters": {"kind": "K", "scope": "Cluster"}}}
    assert without == {"spec": {}}
