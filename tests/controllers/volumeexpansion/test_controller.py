"""Growth, as the user sees it."""

from __future__ import annotations

from harness import storage
from harness.storage import bound_claim, ref
from harness.world import World, running
from sampan.api.objects import Obj
from sampan.api.persistence import DIRECTORIES, PROVISIONED_BY
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.controllers.volumeexpansion.controller import VolumeExpansionController

CLAIM = bound_claim("c")


def volume(by: str) -> Obj:
    found = storage.volume("v", claimRef=ref("c"))
    found["metadata"]["annotations"] = {PROVISIONED_BY: by}
    return found


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
