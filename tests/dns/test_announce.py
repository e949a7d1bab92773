"""What the API shows of the cluster's DNS."""

import asyncio
from typing import Any

import pytest

from harness import dnstalk
from sampan.api.resources import CONFIG_MAPS, ENDPOINT_SLICES, NODES, SERVICES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.dns.announce import Announcer, dns_service, dns_slices

pytestmark = pytest.mark.virtual_time


def node(name: str, *ips: str, ready: str = "True") -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "address": ip} for ip in ips]
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, *addresses],
            "conditions": conditions,
        },
    }


def test_the_service_has_an_address_of_each_family() -> None:
    spec = dns_service(["10.96.0.10", "fd00::a"])["spec"]
    assert spec["clusterIPs"] == ["10.96.0.10", "fd00::a"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")
    assert [(port["name"], port["port"], port["protocol"]) for port in spec["ports"]] == [
        ("dns", 53, "UDP"),
        ("dns-tcp", 53, "TCP"),
        ("metrics", 9153, "TCP"),
    ]
    assert dns_service(["fd00::a"])["spec"]["ipFamilyPolicy"] == "SingleStack"


def test_endpoints_are_the_nodes_by_family() -> None:
    service = dns_service(["10.96.0.10", "fd00::a"]) | {"metadata": {"name": "kube-dns", "uid": "u"}}
    four, six = dns_slices(
        service, [node("b", "10.0.0.2", ready="Unknown"), node("a", "10.0.0.1", "fd00::1")]
    )
    assert [(e["addresses"], e["conditions"]["ready"]) for e in four["endpoints"]] == [
        (["10.0.0.1"], True),
        (["10.0.0.2"], False),
    ]
    assert [e["addresses"] for e in six["endpoints"]] == [["fd00::1"]]


@pytest.mark.parametrize("times", [1, 2])
async def test_endpoints_follow_the_nodes_and_users_changes_stay(times: int) -> None:
    client = Client(FakeTransport())
    old = dns_service(["10.96.0.10"])
    old["spec"]["ports"] = old["spec"]["ports"][:2]
    await client.create(SERVICES, old)  # as an older version made it
    custom = {"metadata": {"name": "coredns", "namespace": "kube-system"}, "data": {"Corefile": "mine"}}
    await client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", **custom})
    await client.create(NODES, node("a", "10.0.0.1"))
    for _ in range(times):
        informers = Informers(client)
        tasks = [
            asyncio.create_task(informers.run()),
            asyncio.create_task(Announcer(client, informers, ["10.96.0.10"], "cluster.local").run()),
        ]
        await until(client, ["10.0.0.1"])
        await client.create(NODES, node("b", "10.0.0.2"))
        await until(client, ["10.0.0.1", "10.0.0.2"])
        await client.delete(NODES, "b")
        await until(client, ["10.0.0.1"])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    service = await client.get(SERVICES, "kube-dns", "kube-system")
    assert len(service["spec"]["ports"]) == 3
    assert (await client.get(CONFIG_MAPS, "coredns", "kube-system"))["data"] == {"Corefile": "mine"}


async def until(client: Client, ips: list[str]) -> None:
    async def there() -> bool:
        found = (await client.list(ENDPOINT_SLICES, "kube-system"))["items"]
        return [ip for slice_ in found for e in slice_["endpoints"] for ip in e["addresses"]] == ips

    await dnstalk.until(there)
