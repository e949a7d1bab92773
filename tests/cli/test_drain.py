"""A node's Pods leave before it does."""

from __future__ import annotations

import asyncio

import pytest

from sampan.api.objects import Obj
from sampan.api.resources import NODES, PODS
from sampan.cli.drain import drain, held, moves
from sampan.cli.errors import UserError
from sampan.client.client import Client
from sampan.client.fake import FakeTransport

pytestmark = pytest.mark.virtual_time


def node(ready: str = "True") -> Obj:
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": "n"},
        "status": {"conditions": conditions},
    }


def pod(name: str, **metadata: object) -> Obj:
    fields = {"name": name, "namespace": "default", **metadata}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": fields,
        "spec": {"nodeName": "n", "containers": []},
        "status": {"phase": "Running"},
    }


@pytest.mark.parametrize(
    ("there", "moved"),
    [
        (pod("a"), True),
        (pod("a", annotations={"kubernetes.io/config.mirror": "x"}), False),
        (pod("a", ownerReferences=[{"kind": "DaemonSet", "controller": True}]), False),
        (pod("a", ownerReferences=[{"kind": "ReplicaSet", "controller": True}]), True),
        ({**pod("a"), "status": {"phase": "Succeeded"}}, False),
        ({**pod("a", deletionTimestamp="now"), "status": {"phase": "Failed"}}, True),
    ],
)
def test_who_has_to_move(there: Obj, moved: bool) -> None:
    assert moves(there) is moved


async def test_pods_are_evicted_and_awaited() -> None:
    fake = FakeTransport(node(), pod("a"), pod("b"))
    await asyncio.wait_for(drain(Client(fake), node(), 10, lambda text: None, force=False), 30)
    assert fake.objects(PODS) == []
    found = fake.get(NODES, "n")
    assert found is not None and found["spec"]["unschedulable"]


async def test_one_that_stays_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTransport(node(), pod("a", finalizers=["x/y"]))
    with pytest.raises(UserError, match=r"still has Pods after 0\.01 s: default/a") as caught:
        await drain(Client(fake), node(), 0.01, lambda text: None, force=False)
    assert "PodDisruptionBudget" in caught.value.do


async def test_nobody_waits_for_a_node_that_is_lost() -> None:
    fake = FakeTransport(node("Unknown"), pod("a", finalizers=["x/y"]))
    await drain(Client(fake), node("Unknown"), 10, lambda text: None, force=False)


def test_whose_data_goes_with_the_node() -> None:
    def volume(host: str, **spec: object) -> Obj:
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}
        required = {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
        return {"spec": {"nodeAffinity": {"required": required}, **spec}}

    claim = {"namespace": "default", "name": "data"}
    volumes = [
        volume("n", claimRef=claim),
        volume("other", claimRef={**claim, "name": "elsewhere"}),
        volume("n"),
        {"spec": {"claimRef": {**claim, "name": "anywhere"}}},
    ]
    labelled = node() | {"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}}
    assert held(volumes, labelled) == ["default/data"]
