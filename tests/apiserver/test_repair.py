from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import EVENTS, IP_ADDRESSES, SERVICES
from sampan.apiserver import repair
from sampan.apiserver.registry import ipaddresses
from sampan.store.contract import Delete, Put
from sampan.store.memory import MemoryStore


def service(name: str, **spec) -> Obj:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}, **spec}}


async def address(api, name: str) -> Obj | None:
    try:
        return await api.call("get", IP_ADDRESSES, name)
    except StatusError as error:
        assert error.code == 404
        return None


async def told(api, reason: str) -> Obj:
    """The Event of a reason, once it is there."""
    async with asyncio.timeout(30):
        while True:
            for event in (await api.call("list", EVENTS))["items"]:
                if event["reason"] == reason:
                    return event
            await asyncio.sleep(0.01)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)


async def test_the_object_of_an_address_in_use_is_made_again(api) -> None:
    made = await api.create(SERVICES, service("a"))
    ip = made["spec"]["clusterIP"]
    await api.call("delete", IP_ADDRESSES, ip)
    await until(lambda: address(api, ip))
    event = await told(api, "ClusterIPNotAllocated")
    assert event["message"] == f"Cluster IP [IPv4]: {ip} is not allocated; repairing"
    assert event["involvedObject"]["name"] == "a" and event["type"] == "Warning"
    obj = await address(api, ip)
    assert obj is not None and ipaddresses.service_of(obj) == ("default", "a")


async def test_nobody_gets_an_address_while_its_object_is_gone(api) -> None:
    made = await api.create(SERVICES, service("a"))
    ip = made["spec"]["clusterIP"]
    deleted = api.call("delete", IP_ADDRESSES, ip)
    other = api.create(SERVICES, service("b", clusterIP=ip))
    outcome = (await asyncio.gather(deleted, other, return_exceptions=True))[1]
    assert isinstance(outcome, StatusError) and "provided IP is already allocated" in outcome.message


async def test_labels_that_were_taken_off_are_put_on_again(api) -> None:
    ip = (await api.create(SERVICES, service("a")))["spec"]["clusterIP"]
    await api.call("patch", IP_ADDRESSES, ip, {"metadata": {"labels": None}})

    async def labelled() -> bool:
        obj = await address(api, ip)
        return obj is not None and ipaddresses.is_labelled(obj)

    await until(labelled)


async def test_an_object_without_service_goes_after_a_while(api, monkeypatch) -> None:
    monkeypatch.setattr(repair, "GRACE_S", 0.0)
    await api.create(IP_ADDRESSES, ipaddresses.wanted("10.96.0.70", "default", "gone"))

    async def gone() -> bool:
        return await address(api, "10.96.0.70") is None

    await until(gone)
    event = await told(api, "IPAddressNotAllocated")
    assert (
        event["message"]
        == "IPAddress: 10.96.0.70 for Service default/gone appears to have leaked: cleaning up"
    )


async def test_an_object_that_is_younger_stays_for_now(api) -> None:
    await api.create(IP_ADDRESSES, ipaddresses.wanted("10.96.0.70", "default", "comes"))
    await api.create(SERVICES, service("other"))
    await asyncio.sleep(0.05)
    assert await address(api, "10.96.0.70") is not None


async def test_an_object_that_names_a_service_with_another_address_goes(api) -> None:
    await api.create(SERVICES, service("a", clusterIP="10.96.0.71"))
    await api.create(IP_ADDRESSES, ipaddresses.wanted("10.96.0.72", "default", "a"))

    async def gone() -> bool:
        return await address(api, "10.96.0.72") is None

    await until(gone)
    event = await told(api, "IPAddressWrongReference")
    assert (
        event["message"] == "IPAddress: 10.96.0.72 for Service default/a has a wrong reference; cleaning up"
    )


async def test_what_others_made_is_theirs(api) -> None:
    parent = {"group": "example.com", "resource": "things", "name": "t"}
    body = {"metadata": {"name": "10.96.0.73"}, "spec": {"parentRef": parent}}
    await api.create(IP_ADDRESSES, body)
    await api.create(SERVICES, service("a"))
    await asyncio.sleep(0.05)
    assert await address(api, "10.96.0.73") is not None


async def test_services_of_a_store_of_before_get_their_objects(serve) -> None:
    store = MemoryStore()
    async with serve(store) as api:
        ip = (await api.create(SERVICES, service("a")))["spec"]["clusterIP"]
    await store.open()
    await store.txn([Delete(ipaddresses.key_of(ip), b"{}")])
    await store.close()
    async with serve(store) as api:
        await until(lambda: address(api, ip))


async def test_two_services_of_one_address_or_port_are_told(serve) -> None:
    store = MemoryStore()
    ports = [{"port": 80, "nodePort": 30123}]
    async with serve(store) as api:
        made = await api.create(SERVICES, service("a", type="NodePort", ports=ports))
        key = "/registry/core/services/default/twin"
        twin = orjson.loads(orjson.dumps(made))
        twin["metadata"] |= {"name": "twin", "uid": "another"}
        await store.txn([Put(key, orjson.dumps(twin))])
        event = await told(api, "ClusterIPAlreadyAllocated")
        ip = made["spec"]["clusterIP"]
        assert event["involvedObject"]["name"] == "twin"
        expected = f"Cluster IP [IPv4]:{ip} was assigned to multiple services; please recreate service"
        assert event["message"] == expected
        event = await told(api, "PortAlreadyAllocated")
        assert event["message"] == "Port 30123 was assigned to multiple services; please recreate service"


async def test_what_is_out_of_range_is_told(serve) -> None:
    store = MemoryStore()
    async with serve(store) as api:
        await api.create(SERVICES, service("a", type="NodePort", ports=[{"port": 80, "nodePort": 30123}]))
    async with serve(store, node_port_range=(31000, 31999)) as api:
        event = await told(api, "PortOutOfRange")
        assert event["message"] == (
            "Port 30123 is not within the port range 31000-31999; please recreate service"
        )
        # it works on all the same
        again = await api.call("patch", SERVICES, "a", {"metadata": {"labels": {"a": "b"}}})
        assert again["spec"]["ports"][0]["nodePort"] == 30123


@pytest.mark.parametrize("family", ["10.96.0.80", "fd00:96::80"])
async def test_reservations_of_nobody_end_at_the_second_look(dual, family: str) -> None:
    hooks = dual.server.pipeline.hooks(SERVICES)
    hooks.addresses.hold([family], "nobody")
    await dual.create(SERVICES, service("a"))
    suspects = hooks.audit(frozenset())
    assert suspects == {"nobody"} and hooks.addresses.holder(family) == "nobody"
    hooks.audit(suspects)
    assert hooks.addresses.holder(family) is None and hooks.audit(frozenset()) == frozenset()
