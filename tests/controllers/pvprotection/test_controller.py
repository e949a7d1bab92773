"""A bound volume stays."""

from __future__ import annotations

import asyncio

from harness import storage
from harness.world import World, running
from sampan.api.objects import Obj
from sampan.api.persistence import VOLUME_PROTECTION
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.controllers.pvprotection.controller import VolumeProtectionController


def volume(phase: str, *finalizers: str) -> Obj:
    found = storage.volume("v", phase=phase)
    found["metadata"]["finalizers"] = list(finalizers)
    return found


async def test_a_bound_volume_goes_when_it_is_released() -> None:
    async with running(World(volume("Bound", VOLUME_PROTECTION)), VolumeProtectionController) as it:
        await it.client.delete(PERSISTENT_VOLUMES, "v")
        await asyncio.sleep(0.02)
        held = it.fake.get(PERSISTENT_VOLUMES, "v")
        assert held is not None
        it.fake.add({**held, "status": {"phase": "Released"}})
        await it.until(lambda: not it.fake.objects(PERSISTENT_VOLUMES))


async def test_a_volume_without_protection_gets_it() -> None:
    async with running(World(volume("Available")), VolumeProtectionController) as it:
        await it.until(
            lambda: it.fake.objects(PERSISTENT_VOLUMES)[0]["metadata"]["finalizers"] == [VOLUME_PROTECTION]
        )
