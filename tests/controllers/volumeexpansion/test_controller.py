"""Growth, as the user sees it."""

from __future__ import annotations

from harness.world import World, running
from sampan.api.objects import Obj
from sampan.api.persistence import BIND_COMPLETED, DIRECTORIES, PROVISIONED_BY
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.controllers.volumeexpansion.controller import VolumeExpansionController

CLAIM: Obj = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "c", "namespace": "default", "annotations": {BIND_COMPLETED: "yes"}},
    "spec": {"volumeName": "v", "resources": {"requests": {"storage": "1Gi"}}},
    "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
}


def volume(by: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "v", "annotations": {PROVISIONED_BY: by}},
        "spec": {"capacity": {"storage": "1Gi"}, "claimRef": {"namespace": "default", "name": "c"}},
    }


async def grow(it: World) -> None:
    patch = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    await it.client.patch(PERSISTENT_VOLUME_CLAIMS, "c", patch, namespace="default")


async def test_a_directory_grows_at_once() -> None:
    async with running(World(CLAIM, volume(DIRECTORIES)), VolumeExpansionController) as it:
        await grow(it)
        await it.until(
            lambda: it.fake.objects(PERSISTENT_VOLUME_CLAIMS)[0]["status"]["capacity"] == {"storage": "3Gi"}
        )
        assert it.fake.objects(PERSISTENT_VOLUMES)[0]["spec"]["capacity"] == {"storage": "3Gi"}
        assert await it.messages("VolumeResizeSuccessful") == ["Resize volume succeeded"]


async def test_who_else_is_to_do_it_is_told() -> None:
    async with running(World(CLAIM, volume("x.io/disk")), VolumeExpansionController) as it:
        await grow(it)
        await it.until(lambda: any(action.plural == "events" for action in it.fake.actions))
        (message,) = await it.messages("ExternalExpanding")
        assert message.startswith("Ignoring the PVC: didn't find a plugin capable of expanding the volume")
