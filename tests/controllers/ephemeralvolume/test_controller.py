"""A claim for each ephemeral volume, and none that is another's."""

from __future__ import annotations

import asyncio

from harness.world import World, running
from sampan.api.objects import Obj
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS
from sampan.controllers.ephemeralvolume.controller import EphemeralVolumeController

SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": SPEC}


def pod(phase: str = "Pending") -> Obj:
    volumes = [
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": TEMPLATE}},
        {"name": "x", "emptyDir": {}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "uid": "u-p"},
        "spec": {"containers": [], "volumes": volumes},
        "status": {"phase": phase},
    }


def claims(it: World) -> list[Obj]:
    return it.fake.objects(PERSISTENT_VOLUME_CLAIMS)


async def test_the_claim_is_the_pods_own() -> None:
    async with running(World(pod()), EphemeralVolumeController) as it:
        await it.until(lambda: bool(claims(it)))
        made = claims(it)[0]
        assert made["spec"] == SPEC
        metadata = made["metadata"]
        assert (metadata["name"], metadata["labels"]) == ("p-scratch", {"a": "b"})
        (owner,) = metadata["ownerReferences"]
        assert owner == {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p",
            "uid": "u-p",
            "controller": True,
            "blockOwnerDeletion": True,
        }
        it.fake.remove(PERSISTENT_VOLUME_CLAIMS, "p-scratch", "default")
        await it.until(lambda: bool(claims(it)))


async def test_a_claim_of_that_name_that_is_not_the_pods_is_a_conflict() -> None:
    theirs: Obj = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "p-scratch", "namespace": "default"},
        "spec": SPEC,
    }
    async with running(World(pod(), theirs), EphemeralVolumeController) as it:
        await it.until(lambda: any(action.plural == "events" for action in it.fake.actions))
        assert await it.messages("FailedBinding") == [
            "ephemeral volume scratch: "
            "PVC default/p-scratch was not created for pod default/p (pod is not owner)"
        ]


async def test_a_pod_that_has_ended_gets_none() -> None:
    async with running(World(pod("Succeeded")), EphemeralVolumeController) as it:
        await asyncio.sleep(0.02)
        assert not claims(it)
