from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import mutable
from sampan.api.resources import SERVICES
from sampan.apiserver.registry.services import ServiceHooks
from sampan.store.memory import MemoryStore


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


async def refused(awaitable: Any) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await awaitable
    return caught.value


async def test_an_address_is_given_and_families_are_said(api) -> None:
    spec = (await api.create(SERVICES, service("a")))["spec"]
    assert spec["clusterIP"].startswith("10.96.") and spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ipFamilies"] == ["IPv4"] and spec["ipFamilyPolicy"] == "SingleStack"


async def test_an_address_belongs_to_one_service_at_a_time(api) -> None:
    await api.create(SERVICES, service("a", clusterIP="10.96.0.10"))
    error = await refused(api.create(SERVICES, service("b", clusterIP="10.96.0.10")))
    assert error.code == 422
    assert "spec.clusterIPs: Invalid value: " in error.message
    assert "provided IP is already allocated" in error.message
    await api.call("delete", SERVICES, "a")
    await api.create(SERVICES, service("b", clusterIP="10.96.0.10"))


async def test_an_address_outside_the_range_is_refused(api) -> None:
    error = await refused(api.create(SERVICES, service("a", clusterIP="10.1.2.3")))
    assert "the provided network does not match the current range" in error.message


async def test_many_at_once_share_nothing(api) -> None:
    made = await asyncio.gather(
        *(api.create(SERVICES, service(f"s{i}", type="NodePort")) for i in range(100))
    )
    assert len({item["spec"]["clusterIP"] for item in made}) == 100
    assert len({item["spec"]["ports"][0]["nodePort"] for item in made}) == 100


async def test_the_same_address_at_the_same_moment_goes_to_one(api) -> None:
    answers = await asyncio.gather(
        *(api.create(SERVICES, service(f"s{i}", clusterIP="10.96.0.99")) for i in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, StatusError) for answer in answers) == 4


async def test_a_failed_create_and_a_dry_run_give_everything_back(api) -> None:
    await api.create(SERVICES, service("a"))
    ports = [{"port": 80, "nodePort": 30080}]
    await refused(api.create(SERVICES, service("a", clusterIP="10.96.0.50", type="NodePort", ports=ports)))
    dry = service("b", clusterIP="10.96.0.50", type="NodePort", ports=mutable(ports[0]) and ports)
    await api.create(SERVICES, dry, dryRun="All")
    made = await api.create(SERVICES, service("c", clusterIP="10.96.0.50", type="NodePort", ports=ports))
    assert made["spec"]["ports"][0]["nodePort"] == 30080


async def test_node_ports_have_a_range_and_one_owner(api) -> None:
    taken = [{"port": 80, "nodePort": 30080}]
    await api.create(SERVICES, service("a", type="NodePort", ports=mutable(taken[0]) and taken))
    error = await refused(
        api.create(SERVICES, service("b", type="NodePort", ports=[{"port": 81, "nodePort": 30080}]))
    )
    assert error.message.endswith(
        "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
    )
    error = await refused(
        api.create(SERVICES, service("b", type="NodePort", ports=[{"port": 81, "nodePort": 80}]))
    )
    assert "The range of valid ports is 30000-32767" in error.message


async def test_tcp_and_udp_of_one_port_share_a_node_port(api) -> None:
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    made = (await api.create(SERVICES, service("dns", type="NodePort", ports=ports)))["spec"]["ports"]
    assert made[0]["nodePort"] == made[1]["nodePort"]


async def test_an_update_keeps_what_it_does_not_say(api) -> None:
    made = await api.create(SERVICES, service("a", type="NodePort"))
    again = await api.call("update", SERVICES, "a", service("a", type="NodePort"))
    assert again == made


async def test_going_back_to_cluster_ip_frees_the_node_port(api) -> None:
    made = await api.create(SERVICES, service("a", type="NodePort"))
    port = made["spec"]["ports"][0]["nodePort"]
    back = await api.call("patch", SERVICES, "a", {"spec": {"type": "ClusterIP"}})
    assert "nodePort" not in back["spec"]["ports"][0] and "externalTrafficPolicy" not in back["spec"]
    other = service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    assert (await api.create(SERVICES, other))["spec"]["ports"][0]["nodePort"] == port


async def test_becoming_another_name_gives_back_address_and_node_port(api) -> None:
    made = mutable(await api.create(SERVICES, service("a", type="NodePort")))
    port = made["spec"]["ports"][0]["nodePort"]
    made["spec"] |= {"type": "ExternalName", "externalName": "example.com"}
    spec = (await api.call("update", SERVICES, "a", made))["spec"]
    assert "clusterIP" not in spec and "nodePort" not in spec["ports"][0]
    again = await api.create(SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    assert again["spec"]["ports"][0]["nodePort"] == port


async def test_headless_services_take_no_address(api) -> None:
    spec = (await api.create(SERVICES, service("a", clusterIP="None")))["spec"]
    assert spec["clusterIP"] == "None" and spec["clusterIPs"] == ["None"]


async def test_an_address_may_not_change(api) -> None:
    await api.create(SERVICES, service("a"))
    error = await refused(api.call("patch", SERVICES, "a", {"spec": {"clusterIP": "10.96.0.77"}}))
    assert "may not change once set" in error.message


async def test_a_restart_remembers_who_has_what(api) -> None:
    held = (await api.create(SERVICES, service("a", type="NodePort")))["spec"]
    hooks = ServiceHooks(api.server.hub, ["10.96.0.0/16"], (30000, 32767))
    uid = (await api.call("get", SERVICES, "a"))["metadata"]["uid"]
    port = held["ports"][0]["nodePort"]
    assert hooks.ports.pool.holder(port) == uid


# --- changes between any two types, in place ------------------------------------------------------------

TYPES: dict[str, dict[str, Any]] = {
    "ClusterIP": {"type": "ClusterIP"},
    "Headless": {"type": "ClusterIP", "clusterIP": "None"},
    "NodePort": {"type": "NodePort"},
    "LoadBalancer": {"type": "LoadBalancer"},
    "Local": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    "Portless": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
    "ExternalName": {"type": "ExternalName", "externalName": "db.example.com"},
}
ADDRESSED = {"ClusterIP", "NodePort", "LoadBalancer", "Local", "Portless"}
PORTED = {"NodePort", "LoadBalancer", "Local"}


def held(api) -> tuple[int, int]:
    """How many addresses and node ports of Services are out."""
    hooks = api.server.pipeline.hooks(SERVICES)
    return sum(map(len, hooks.addresses._pools.values())), len(hooks.ports.pool)


def may_change(before: str, after: str) -> bool:
    """An address cannot be given up for None nor the reverse, but by way of ExternalName."""
    if before == after or "ExternalName" in (before, after):
        return True
    return (before == "Headless") == (after == "Headless")


@pytest.mark.parametrize("verb", ["update", "patch"])
@pytest.mark.parametrize("after", TYPES)
@pytest.mark.parametrize("before", TYPES)
async def test_a_service_changes_from_any_type_to_any(api, before: str, after: str, verb: str) -> None:
    none = held(api)
    made = await api.create(SERVICES, service("a", **mutable(TYPES[before])))
    if verb == "update":
        body = service("a", **mutable(TYPES[after]))
    else:
        said = {"clusterIP": None, "externalName": None, "externalTrafficPolicy": None} | TYPES[after]
        if "allocateLoadBalancerNodePorts" in TYPES[before]:
            said = {"allocateLoadBalancerNodePorts": None} | said
        if TYPES[before].get("clusterIP") == TYPES[after].get("clusterIP") or after == "ExternalName":
            said.pop("clusterIP", None)
        body = {"spec": said}
    change = api.call(verb, SERVICES, "a", body)
    if not may_change(before, after) and not (before == "Headless" and "clusterIP" not in TYPES[after]):
        assert "may not change once set" in (await refused(change)).message
        return
    if before == "Headless" and after not in ("Headless", "ExternalName"):
        # None stays: silence about the address keeps it, and node ports need one.
        if after == "ClusterIP":
            assert (await change)["spec"]["clusterIP"] == "None"
        else:
            assert (
                f"may not be set to 'None' for {TYPES[after]['type']} services"
                in (await refused(change)).message
            )
        return
    spec = (await change)["spec"]
    assert spec["type"] == TYPES[after]["type"]
    if after in ADDRESSED:
        assert spec["clusterIPs"] == [spec["clusterIP"]] and spec["clusterIP"].startswith("10.96.")
        if before in ADDRESSED:
            assert spec["clusterIP"] == made["spec"]["clusterIP"]
    else:
        assert spec.get("clusterIP") == TYPES[after].get("clusterIP")
    for port in spec["ports"]:
        assert ("nodePort" in port) == (after in PORTED or (after == "Portless" and before in PORTED))
    assert ("healthCheckNodePort" in spec) == (after == "Local")
    assert ("externalTrafficPolicy" in spec) == (TYPES[after]["type"] in ("NodePort", "LoadBalancer"))
    assert ("allocateLoadBalancerNodePorts" in spec) == (TYPES[after]["type"] == "LoadBalancer")
    assert ("ipFamilies" in spec) == (after != "ExternalName")
    await api.call("delete", SERVICES, "a")
    assert held(api) == none


# --- node ports of load balancers -----------------------------------------------------------------------


async def test_a_health_check_port_is_chosen_kept_and_given_back(api) -> None:
    none = held(api)
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    port = (await api.create(SERVICES, service("a", **local)))["spec"]["healthCheckNodePort"]
    assert 30000 <= port <= 32767
    again = (await api.call("update", SERVICES, "a", service("a", **local)))["spec"]
    assert again["healthCheckNodePort"] == port
    error = await refused(api.call("patch", SERVICES, "a", {"spec": {"healthCheckNodePort": 31999}}))
    assert "spec.healthCheckNodePort: Forbidden: field is immutable" in error.message
    spec = (await api.call("patch", SERVICES, "a", {"spec": {"externalTrafficPolicy": "Cluster"}}))["spec"]
    assert "healthCheckNodePort" not in spec
    assert held(api)[1] == none[1] + 1  # that of port 80
    await api.create(SERVICES, service("b", **local, healthCheckNodePort=port))


async def test_a_health_check_port_that_is_taken_is_refused(api) -> None:
    local = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    await api.create(SERVICES, service("a", type="NodePort", ports=[{"port": 80, "nodePort": 30123}]))
    error = await refused(api.create(SERVICES, service("b", **local, healthCheckNodePort=30123)))
    assert error.message == (
        "Internal error occurred: failed to allocate requested HealthCheck NodePort 30123: "
        "provided port is already allocated"
    )
    ports = [{"port": 80, "nodePort": 30124}]
    both = service("b", **local, healthCheckNodePort=30124, ports=ports)
    assert "provided port is already allocated" in (await refused(api.create(SERVICES, both))).message


async def test_load_balancers_may_do_without_node_ports(api) -> None:
    spec = service("a", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    made = (await api.create(SERVICES, spec))["spec"]
    assert "nodePort" not in made["ports"][0]
    asked = [{"port": 80, "nodePort": 30080}]
    spec = service("b", type="LoadBalancer", allocateLoadBalancerNodePorts=False, ports=asked)
    assert (await api.create(SERVICES, spec))["spec"]["ports"][0]["nodePort"] == 30080


async def test_a_load_balancers_class_may_not_change(api) -> None:
    await api.create(SERVICES, service("a", type="LoadBalancer", loadBalancerClass="example.com/one"))
    error = await refused(
        api.call("patch", SERVICES, "a", {"spec": {"loadBalancerClass": "example.com/two"}})
    )
    assert "spec.loadBalancerClass" in error.message and "may not change once set" in error.message
    spec = (await api.call("patch", SERVICES, "a", {"spec": {"type": "NodePort"}}))["spec"]
    assert "loadBalancerClass" not in spec


# --- both families --------------------------------------------------------------------------------------


def families(obj: dict[str, Any]) -> tuple[str, list[str], int]:
    spec = obj["spec"]
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    assert [("IPv6" if ":" in ip else "IPv4") for ip in spec["clusterIPs"]] == spec["ipFamilies"]
    return spec["ipFamilyPolicy"], spec["ipFamilies"], len(spec["clusterIPs"])


async def test_a_service_of_a_cluster_of_both_families_has_one_unless_it_wants_both(dual) -> None:
    assert families(await dual.create(SERVICES, service("a"))) == ("SingleStack", ["IPv4"], 1)
    prefer = service("b", ipFamilyPolicy="PreferDualStack")
    assert families(await dual.create(SERVICES, prefer)) == ("PreferDualStack", ["IPv4", "IPv6"], 2)
    reverse = service("c", ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv6"])
    assert families(await dual.create(SERVICES, reverse)) == ("RequireDualStack", ["IPv6", "IPv4"], 2)
    six = service("d", ipFamilies=["IPv6"])
    assert families(await dual.create(SERVICES, six)) == ("SingleStack", ["IPv6"], 1)


async def test_fixed_addresses_of_both_families(dual) -> None:
    asked = ["fd00:96::77", "10.96.0.77"]
    spec = service("a", ipFamilyPolicy="RequireDualStack", clusterIP=asked[0], clusterIPs=list(asked))
    assert (await dual.create(SERVICES, spec))["spec"]["clusterIPs"] == asked
    other = service("b", ipFamilyPolicy="PreferDualStack", clusterIP="10.96.0.78")
    other["spec"]["clusterIPs"] = ["10.96.0.78", "fd00:96::77"]
    error = await refused(dual.create(SERVICES, other))
    assert "failed to allocate IP fd00:96::77: provided IP is already allocated" in error.message
    # what was taken before the refusal is free again
    await dual.create(SERVICES, service("c", clusterIP="10.96.0.78"))


async def test_the_second_family_comes_and_goes_in_place(dual) -> None:
    made = await dual.create(SERVICES, service("a"))
    two = await dual.call("patch", SERVICES, "a", {"spec": {"ipFamilyPolicy": "PreferDualStack"}})
    assert families(two) == ("PreferDualStack", ["IPv4", "IPv6"], 2)
    assert two["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    second = two["spec"]["clusterIPs"][1]
    one = await dual.call("patch", SERVICES, "a", {"spec": {"ipFamilyPolicy": "SingleStack"}})
    assert families(one) == ("SingleStack", ["IPv4"], 1)
    await dual.create(SERVICES, service("b", clusterIP=second))


async def test_a_second_address_may_be_named_at_the_upgrade(dual) -> None:
    made = await dual.create(SERVICES, service("a"))
    both = [made["spec"]["clusterIP"], "fd00:96::99"]
    wanted = {"ipFamilyPolicy": "RequireDualStack", "clusterIPs": both, "ipFamilies": ["IPv4", "IPv6"]}
    two = await dual.call("patch", SERVICES, "a", {"spec": wanted})
    assert two["spec"]["clusterIPs"] == both
    error = await refused(
        dual.call("patch", SERVICES, "a", {"spec": {"clusterIPs": [both[0], "fd00:96::98"]}})
    )
    assert "spec.clusterIPs[1]" in error.message and "may not change once set" in error.message
    error = await refused(dual.call("patch", SERVICES, "a", {"spec": {"clusterIPs": both[:1]}}))
    assert "must be 'SingleStack' to release the secondary cluster IP" in error.message


async def test_the_families_of_a_service_keep_their_order(dual) -> None:
    await dual.create(SERVICES, service("a", ipFamilyPolicy="PreferDualStack"))
    error = await refused(dual.call("patch", SERVICES, "a", {"spec": {"ipFamilies": ["IPv6", "IPv4"]}}))
    assert error.code == 422


async def test_a_cluster_of_one_family_says_so(api) -> None:
    error = await refused(api.create(SERVICES, service("a", ipFamilyPolicy="RequireDualStack")))
    assert error.message == (
        'Service "a" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": '
        "this cluster is not configured for dual-stack services"
    )
    error = await refused(api.create(SERVICES, service("a", ipFamilies=["IPv6"])))
    assert 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster' in error.message
    prefer = await api.create(SERVICES, service("a", ipFamilyPolicy="PreferDualStack"))
    assert families(prefer) == ("PreferDualStack", ["IPv4"], 1)


async def test_external_names_have_no_families(dual) -> None:
    spec = service("a", type="ExternalName", externalName="example.com")
    made = (await dual.create(SERVICES, spec))["spec"]
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & set(made)
    change = {"spec": {"type": "ClusterIP", "externalName": None, "ipFamilyPolicy": "PreferDualStack"}}
    both = await dual.call("patch", SERVICES, "a", change)
    assert families(both) == ("PreferDualStack", ["IPv4", "IPv6"], 2)


async def test_families_are_kept_when_the_cluster_gets_a_second_one(serve) -> None:
    store = MemoryStore()
    async with serve(store) as api:
        await api.create(SERVICES, service("one", ipFamilyPolicy="PreferDualStack"))
    async with serve(store, service_cidrs=("10.96.0.0/16", "fd00:96::/112")) as api:
        kept = await api.call("patch", SERVICES, "one", {"metadata": {"labels": {"a": "b"}}})
        assert families(kept) == ("PreferDualStack", ["IPv4"], 1)
        asked = await api.call("patch", SERVICES, "one", {"spec": {"ipFamilyPolicy": "RequireDualStack"}})
        assert families(asked) == ("RequireDualStack", ["IPv4", "IPv6"], 2)


@pytest.mark.parametrize(
    ("cidrs", "asked", "found"),
    [
        (["fd00:96::/112"], {}, ["IPv6"]),
        (["fd00:96::/112"], {"ipFamilyPolicy": "PreferDualStack"}, ["IPv6"]),
        (["fd00:96::/112", "10.96.0.0/16"], {}, ["IPv6"]),
        (["fd00:96::/112", "10.96.0.0/16"], {"ipFamilyPolicy": "RequireDualStack"}, ["IPv6", "IPv4"]),
        (["fd00:96::/112", "10.96.0.0/16"], {"ipFamilies": ["IPv4"]}, ["IPv4"]),
    ],
)
async def test_ipv6_may_be_the_primary_family(serve, cidrs, asked, found) -> None:
    async with serve(service_cidrs=tuple(cidrs)) as api:
        assert (await api.call("get", SERVICES, "kubernetes"))["spec"]["clusterIP"] == "fd00:96::1"
        assert families(await api.create(SERVICES, service("a", **asked)))[1] == found


async def test_where_a_load_balancer_is_says_the_status_subresource_only(api) -> None:
    """CVE-2020-8554: who may write Services must not thereby take anybody's address."""
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}}
    made = await api.create(SERVICES, {**service("a", type="LoadBalancer"), **ingress})
    assert made["status"] == {"loadBalancer": {}}
    patched = await api.call("patch", SERVICES, "a", ingress)
    assert patched["status"] == {"loadBalancer": {}}
    updated = await api.call("update", SERVICES, "a", {**service("a", type="LoadBalancer"), **ingress})
    assert updated["status"] == {"loadBalancer": {}}
    shown = await api.call("patch", SERVICES, "a", ingress, sub="status")
    assert shown["status"]["loadBalancer"]["ingress"] == [{"ip": "203.0.113.9", "ipMode": "VIP"}]
    spec = {"spec": {"externalIPs": ["203.0.113.9"], "type": "ClusterIP"}}
    kept = await api.call("patch", SERVICES, "a", spec, sub="status")
    assert kept["spec"]["type"] == "LoadBalancer" and "externalIPs" not in kept["spec"]


async def test_a_service_of_a_family_that_the_cluster_has_no_more_can_be_changed_and_deleted(serve) -> None:
    store = MemoryStore()
    async with serve(store, service_cidrs=("10.96.0.0/16", "fd00:96::/112")) as api:
        kept = {**service("six", ipFamilies=["IPv6"])}
        kept["metadata"]["finalizers"] = ["example.com/look"]
        await api.create(SERVICES, kept)
        await api.create(SERVICES, service("two", ipFamilyPolicy="RequireDualStack"))
    async with serve(store) as api:
        for name in ("six", "two"):
            await api.call("patch", SERVICES, name, {"spec": {"selector": {"a": "c"}}})
        await api.call("delete", SERVICES, "two")
        await api.call("delete", SERVICES, "six")
        await api.call("patch", SERVICES, "six", {"metadata": {"finalizers": None}})
        assert (await refused(api.call("get", SERVICES, "six"))).code == 404
