from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import mutable
from sampan.api.resources import SERVICES
from sampan.apiserver.registry.services import ServiceHooks


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
    assert "The range of valid IPs is 10.96.0.0/16" in error.message


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
    assert hooks._ports.holder(port) == uid
