from __future__ import annotations

import asyncio

import pytest

from sampan.api.errors import StatusError
from sampan.api.resources import IP_ADDRESSES, SERVICES
from sampan.apiserver.registry import ipaddresses


def service(name: str, **spec):
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


async def names(api) -> set[str]:
    listed = await api.call("list", IP_ADDRESSES)
    return {item["metadata"]["name"] for item in listed["items"]}


async def test_each_address_of_a_service_has_an_object(dual) -> None:
    spec = (await dual.create(SERVICES, service("a", ipFamilyPolicy="RequireDualStack")))["spec"]
    for address, family in zip(spec["clusterIPs"], ("IPv4", "IPv6"), strict=True):
        obj = await dual.call("get", IP_ADDRESSES, address)
        assert obj["metadata"]["labels"] == {
            "ipaddress.kubernetes.io/ip-family": family,
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }
        assert obj["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "a"}}
        assert obj["metadata"]["uid"] and obj["metadata"]["creationTimestamp"]
        assert ipaddresses.is_labelled(obj) and ipaddresses.service_of(obj) == ("default", "a")
    await dual.call("delete", SERVICES, "a")
    assert not await names(dual) & set(spec["clusterIPs"])


async def test_object_and_service_are_written_in_one_transaction(api) -> None:
    before = api.server.store.revision
    made = await api.create(SERVICES, service("a"))
    obj = await api.call("get", IP_ADDRESSES, made["spec"]["clusterIP"])
    revisions = [int(each["metadata"]["resourceVersion"]) for each in (obj, made)]
    assert revisions == [before + 1, before + 2] and api.server.store.revision == before + 2
    await api.call("delete", SERVICES, "a")
    assert api.server.store.revision == before + 4


async def test_objects_follow_the_families(dual) -> None:
    kept = await names(dual)
    await dual.create(SERVICES, service("a"))
    two = await dual.call("patch", SERVICES, "a", {"spec": {"ipFamilyPolicy": "PreferDualStack"}})
    assert await names(dual) - kept == set(two["spec"]["clusterIPs"])
    one = await dual.call("patch", SERVICES, "a", {"spec": {"ipFamilyPolicy": "SingleStack"}})
    assert await names(dual) - kept == set(one["spec"]["clusterIPs"])
    name = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
    await dual.call("patch", SERVICES, "a", name)
    assert await names(dual) == kept


async def test_headless_services_dry_runs_and_failures_leave_no_object(api) -> None:
    kept = await names(api)
    await api.create(SERVICES, service("a", clusterIP="None"))
    await api.create(SERVICES, service("b"), dryRun="All")
    with pytest.raises(StatusError):
        await api.create(SERVICES, service("a"))
    assert await names(api) == kept


async def test_an_address_that_somebody_else_took_by_an_object_is_not_given(api) -> None:
    parent = {"group": "gateway.networking.k8s.io", "resource": "gateways", "namespace": "n", "name": "g"}
    body = {"metadata": {"name": "10.96.0.55"}, "spec": {"parentRef": parent}}
    await api.create(IP_ADDRESSES, body)
    with pytest.raises(StatusError, match="provided IP is already allocated"):
        await api.create(SERVICES, service("a", clusterIP="10.96.0.55"))
    await api.call("delete", IP_ADDRESSES, "10.96.0.55")
    await api.create(SERVICES, service("a", clusterIP="10.96.0.55"))


async def test_a_non_canonical_spelling_is_the_same_address(dual) -> None:
    spec = service("a", ipFamilies=["IPv6"], clusterIP="fd00:96::0:AB")
    await dual.create(SERVICES, spec)
    assert "fd00:96::ab" in await names(dual)
    with pytest.raises(StatusError, match="provided IP is already allocated"):
        await dual.create(SERVICES, service("b", ipFamilies=["IPv6"], clusterIP="fd00:96::ab"))
    await dual.call("delete", SERVICES, "a")
    assert "fd00:96::ab" not in await names(dual)


async def test_an_object_that_somebody_still_wants_to_see_go_is_marked(api) -> None:
    made = await api.create(SERVICES, service("a"))
    address = made["spec"]["clusterIP"]
    await api.call("patch", IP_ADDRESSES, address, {"metadata": {"finalizers": ["example.com/look"]}})
    await api.call("delete", SERVICES, "a")
    obj = await api.call("get", IP_ADDRESSES, address)
    assert obj["metadata"]["deletionTimestamp"]
    with pytest.raises(StatusError, match="provided IP is already allocated"):
        await api.create(SERVICES, service("b", clusterIP=address))
    await api.call("patch", IP_ADDRESSES, address, {"metadata": {"finalizers": None}})
    await api.create(SERVICES, service("b", clusterIP=address))


async def test_somebody_who_takes_an_address_at_the_same_moment_costs_another_try_only(serve) -> None:
    """Two addresses; the one that the Service would have had is taken by an object in flight."""
    async with serve(service_cidrs=("10.96.0.0/29",)) as api:
        parent = {"resource": "things", "group": "example.com", "name": "t"}
        free = [f"10.96.0.{n}" for n in range(2, 7)]
        taken = free[:-1]
        objects = [
            api.create(IP_ADDRESSES, {"metadata": {"name": name}, "spec": {"parentRef": parent}})
            for name in taken
        ]
        *_, made = await asyncio.gather(*objects, api.create(SERVICES, service("a")))
        assert made["spec"]["clusterIP"] == free[-1]
        fixed = [
            api.create(IP_ADDRESSES, {"metadata": {"name": "10.96.0.9"}, "spec": {"parentRef": parent}}),
            api.create(SERVICES, service("b", clusterIP="10.96.0.9")),
        ]
        _, refused = await asyncio.gather(*fixed, return_exceptions=True)
        assert isinstance(refused, StatusError)


async def test_a_dry_run_shows_what_would_be_given_and_leaves_it(api) -> None:
    spec = (await api.create(SERVICES, service("a", type="NodePort"), dryRun="All"))["spec"]
    assert spec["clusterIP"] and spec["ports"][0]["nodePort"]
    ports = [{"port": 80, "nodePort": spec["ports"][0]["nodePort"]}]
    await api.create(SERVICES, service("b", type="NodePort", clusterIP=spec["clusterIP"], ports=ports))
