"""A claim in use stays; the last Pod that goes lets it go."""

from __future__ import annotations

import asyncio

import pytest

from harness import storage
from harness.world import World, running
from sampan.api.objects import Obj
from sampan.api.persistence import CLAIM_PROTECTION
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from sampan.controllers.pvcprotection.controller import ClaimProtectionController, uses


def claim(name: str = "data", *finalizers: str, owner: str = "") -> Obj:
    found = storage.claim(name)
    found["metadata"]["finalizers"] = list(finalizers)
    if owner:
        reference = {"kind": "Pod", "name": "p", "uid": owner, "controller": True}
        found["metadata"]["ownerReferences"] = [reference]
    return found


def pod(name: str = "p", node: str = "n1", **volume: Obj) -> Obj:
    source = volume or {"persistentVolumeClaim": {"claimName": "data"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"u-{name}"},
        "spec": {"nodeName": node, "containers": [], "volumes": [{"name": "v", **source}]},
    }


@pytest.mark.parametrize(
    ("user", "held", "used"),
    [
        (pod(), claim(), True),
        (pod(node=""), claim(), False),
        (pod(emptyDir={}), claim(), False),
        (pod(ephemeral={}), claim("p-v", owner="u-p"), True),
        (pod(ephemeral={}), claim("p-v"), False),
    ],
)
def test_a_pod_uses_what_it_names_once_it_has_a_node(user: Obj, held: Obj, used: bool) -> None:
    assert uses(user, held) is used


async def test_the_last_pod_that_goes_lets_the_claim_go() -> None:
    there = World(claim("data", CLAIM_PROTECTION), pod("a"), pod("b"), pod("elsewhere", emptyDir={}))
    async with running(there, ClaimProtectionController) as it:
        await it.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", namespace="default")
        it.fake.remove(PODS, "a", "default")
        await asyncio.sleep(0.02)
        assert it.fake.get(PERSISTENT_VOLUME_CLAIMS, "data", "default")
        it.fake.remove(PODS, "b", "default")
        await it.until(lambda: not it.fake.objects(PERSISTENT_VOLUME_CLAIMS))


async def test_a_claim_without_protection_gets_it() -> None:
    async with running(World(claim()), ClaimProtectionController) as it:
        await it.until(
            lambda: (
                it.fake.objects(PERSISTENT_VOLUME_CLAIMS)[0]["metadata"]["finalizers"] == [CLAIM_PROTECTION]
            )
        )
