"""The Node and its Lease."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.api.objects import Obj, condition_is_true, mutable
from sampan.api.resources import LEASES, NODES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.images.fake import image
from sampan.kubelet.machine import Machine
from sampan.kubelet.node import NodeReporter, capacity, node_object, node_status
from sampan.kubelet.runtime.contract import Features

pytestmark = pytest.mark.virtual_time

MACHINE = Machine(2, 4 << 30, 10 << 30, "amd64", "6.1", "Debian", "m", "s", "b")
CONFIG = KubeletConfig(
    "n1", Path("/nowhere"), node_labels={"zone": "a"}, pod_cidrs=("10.244.0.0/24", "fd73::/64")
)


def test_object() -> None:
    node = node_object(CONFIG, MACHINE)
    assert node["metadata"]["labels"] == {
        "kubernetes.io/hostname": "n1",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        "zone": "a",
    }
    assert node["spec"] == {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd73::/64"]}


def test_capacity_can_be_given() -> None:
    assert capacity(MACHINE, CONFIG)["memory"] == "4194304Ki"
    given = KubeletConfig("n1", Path("/nowhere"), capacity={"cpu": "64"})
    assert capacity(MACHINE, given)["cpu"] == "64"


def test_status_keeps_the_time_of_the_last_change() -> None:
    first = node_status(CONFIG, MACHINE, ["1.2.3.4"], [image("x")], {}, 1000.0)
    again = node_status(CONFIG, MACHINE, ["1.2.3.4"], [], {"status": first}, 2000.0)
    for before, after in zip(first["conditions"], again["conditions"], strict=True):
        assert after["lastTransitionTime"] == before["lastTransitionTime"]
        assert after["lastHeartbeatTime"] > before["lastHeartbeatTime"]
    assert first["nodeInfo"]["kubeletVersion"] == "v1.35.0+sampan"
    assert first["images"] == [
        {
            "names": [f"docker.io/library/x@{image('x').digest}", "docker.io/library/x:latest"],
            "sizeBytes": 1000,
        }
    ]


async def registered(api: FakeTransport, *ips: str) -> Obj:
    reporter = NodeReporter(Client(api), CONFIG, MACHINE, list)
    reporter.ips = ips
    task = asyncio.create_task(reporter.run())
    await asyncio.wait_for(reporter.registered.wait(), 30)
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.wait([task])
    node = api.get(NODES, "n1")
    assert node is not None
    return node


async def test_registration_of_a_known_node_keeps_what_others_wrote() -> None:
    metadata = {"name": "n1", "labels": {"mine": "x"}}
    api = FakeTransport(
        {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"unschedulable": True}}
    )
    node = await registered(api)
    assert node["metadata"]["labels"]["mine"] == "x"
    assert node["metadata"]["labels"]["zone"] == "a"
    assert node["spec"]["unschedulable"] is True
    assert node["spec"]["podCIDR"] == "10.244.0.0/24"
    assert node["status"]["conditions"][-1]["reason"] == "KubeletReady"


async def test_addresses_of_two_families_are_said_once_and_followed() -> None:
    """They are a list with the key `type`, which both of them have."""
    api = FakeTransport()
    for ips in (("100.64.0.2",), ("100.64.0.2", "fd73::2"), ("100.64.0.2", "fd73::2"), ("100.64.0.9",)):
        node = await registered(api, *ips)
        said = [entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
        assert said == list(ips)


async def test_lease_belongs_to_the_node() -> None:
    api = FakeTransport()
    node = await registered(api)
    lease = api.get(LEASES, "n1", "kube-node-lease")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "n1"
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


async def test_server_that_is_not_there_yet_is_waited_for() -> None:
    api = FakeTransport()
    api.fail("create", "nodes", ConnectionRefusedError("no"), times=2)
    assert (await registered(api))["status"]["addresses"]


async def test_a_node_that_was_called_silent_speaks_up_with_its_next_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sampan.kubelet.node.RENEWALS", 4000)
    api = FakeTransport()
    reporter = NodeReporter(Client(api), CONFIG, MACHINE, list)
    task = asyncio.create_task(reporter.run())
    await asyncio.wait_for(reporter.registered.wait(), 30)
    node = mutable(api.get(NODES, "n1") or {})
    for condition in node["status"]["conditions"]:
        condition["status"] = "Unknown"
    await Client(api).update_status(NODES, node)
    await asyncio.sleep(0.2)
    assert condition_is_true(api.get(NODES, "n1") or {}, "Ready")
    task.cancel()
    await asyncio.wait([task])


def test_what_others_say_the_node_has_can_be_asked_for() -> None:
    said = {"status": {"capacity": {"example.com/gpu": "2"}, "allocatable": {"example.com/gone": "1"}}}
    found = node_status(CONFIG, MACHINE, [], [], said, 1000.0)
    assert found["capacity"]["example.com/gpu"] == found["allocatable"]["example.com/gpu"] == "2"
    assert found["allocatable"]["example.com/gone"] is None, "a patch takes it away"


def test_pressure_shows() -> None:
    found = node_status(CONFIG, MACHINE, [], [], {}, 1000.0, {"DiskPressure"})
    disk, ready = (next(c for c in found["conditions"] if c["type"] == k) for k in ("DiskPressure", "Ready"))
    assert (disk["status"], disk["reason"]) == ("True", "KubeletHasDiskPressure")
    assert ready["status"] == "True"


def test_what_its_runtimes_can_do() -> None:
    features = Features(("crun", "runc"), user_namespaces=("crun",), recursive_read_only=True)
    status = node_status(CONFIG, MACHINE, [], [], {}, 1.0, features=features)
    assert status["features"] == {"supplementalGroupsPolicy": True}
    assert [(h["name"], h["features"]["userNamespaces"]) for h in status["runtimeHandlers"]] == [
        ("", True),
        ("crun", True),
        ("runc", False),
    ]
