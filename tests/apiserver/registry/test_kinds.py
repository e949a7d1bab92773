from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES, Resource, resource
from sampan.apiserver.registry.hooks import Call

POLICIES = resource("networking.k8s.io", "v1", "networkpolicies")


def warnings(api, kind: Resource, obj: Obj) -> list[str]:
    """What is said of a new object besides the answer."""
    call = Call(UserInfo("tester"), Request("create", kind, "default"), api.server.hub)
    api.server.pipeline.hooks(kind).prepare_create(call, obj)
    return call.warnings


async def test_odd_addresses_are_told_to_their_authors(api) -> None:
    odd = "fd00::0:1"
    subsets = [{"addresses": [{"ip": odd}]}]
    (told,) = warnings(api, ENDPOINTS, {"metadata": {"name": "a"}, "subsets": subsets})
    assert told.startswith("subsets[0].addresses[0].ip: IPv6 address")
    endpoints = [{"addresses": [odd]}]
    (told,) = warnings(
        api, ENDPOINT_SLICES, {"metadata": {"name": "a"}, "addressType": "IPv6", "endpoints": endpoints}
    )
    assert told.startswith("endpoints[0].addresses[0]: IPv6 address")
    spec = {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}
    (told,) = warnings(api, POLICIES, {"metadata": {"name": "a"}, "spec": spec})
    assert told.startswith("spec.ingress[0].from[0].ipBlock.cidr: CIDR value")
    spec = {"type": "ClusterIP", "clusterIP": "None", "loadBalancerIP": "192.0.2.1"}
    assert warnings(api, SERVICES, {"metadata": {"name": "a"}, "spec": spec}) == [
        "spec.loadBalancerIP is ignored for headless services"
    ]


async def test_the_topology_of_old_cannot_be_written(api) -> None:
    endpoint = {"addresses": ["10.0.0.1"], "deprecatedTopology": {"zone": "a"}}
    body = {"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [endpoint]}
    made = await api.create(ENDPOINT_SLICES, body)
    assert made["endpoints"] == [{"addresses": ["10.0.0.1"]}]
    change = {"endpoints": [{**endpoint, "addresses": ["10.0.0.2"]}]}
    changed = await api.call("patch", ENDPOINT_SLICES, "a", change)
    assert changed["endpoints"] == [{"addresses": ["10.0.0.2"]}]


async def test_who_asks_for_more_kinds_is_told_that_they_are_not_served(api) -> None:
    crds = resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    version = {"name": "v1", "served": True, "storage": True}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    made = await api.create(crds, {"metadata": {"name": "widgets.example.com"}, "spec": spec}, namespace="")
    conditions = {item["type"]: (item["status"], item["reason"]) for item in made["status"]["conditions"]}
    assert conditions == dict.fromkeys(("NamesAccepted", "Established"), ("False", "NotServed"))
