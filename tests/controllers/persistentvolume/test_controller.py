"""The binder over an API server in memory: races, re-created claims, crashes, many at once."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from harness.storage import claim, volume
from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import conflict
from sampan.api.objects import Obj
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.controllers.persistentvolume.controller import PersistentVolumeController


class World(BaseWorld):
    def phases(self) -> dict[str, str]:
        found = self.fake.objects(PERSISTENT_VOLUMES) + self.fake.objects(PERSISTENT_VOLUME_CLAIMS)
        return {each["metadata"]["name"]: each["status"]["phase"] for each in found}

    def state(self) -> object:
        return self.phases()

    def pairs(self) -> dict[str, str]:
        """Claim -> volume, of those that name each other and are both Bound."""
        found = {}
        for each in self.fake.objects(PERSISTENT_VOLUME_CLAIMS):
            name = each["spec"].get("volumeName")
            its = self.fake.get(PERSISTENT_VOLUMES, name) if name else None
            if its and each["status"]["phase"] == its["status"]["phase"] == "Bound":
                assert its["spec"]["claimRef"]["uid"] == each["metadata"]["uid"]
                found[each["metadata"]["name"]] = name
        return found


def world(*objects: Obj) -> AbstractAsyncContextManager[World]:
    return running(World(*objects), PersistentVolumeController)


async def test_they_find_each_other_whoever_comes_first() -> None:
    async with world(claim("early")) as it:
        await asyncio.sleep(0.01)
        it.fake.add(volume("v"), volume("w"))
        await it.until(lambda: it.pairs() == {"early": "v"})
        it.fake.add(claim("late"))
        await it.until(lambda: it.pairs() == {"early": "v", "late": "w"})


async def test_two_claims_race_for_one_volume_and_one_of_them_waits() -> None:
    async with world(claim("a"), claim("b"), volume("v")) as it:
        await it.until(lambda: len(it.pairs()) == 1)
        await asyncio.sleep(0.02)
        assert sorted(it.phases().values()) == ["Bound", "Bound", "Pending"]
        assert await it.messages("FailedBinding")


async def test_a_volume_stays_with_its_data_when_its_claim_goes_and_comes_back() -> None:
    async with world(claim("data"), volume("v")) as it:
        await it.until(lambda: it.pairs() == {"data": "v"})
        it.fake.remove(PERSISTENT_VOLUME_CLAIMS, "data", "default")
        await it.until(lambda: it.phases() == {"v": "Released"})
        the_next = claim("data")
        the_next["metadata"]["uid"] = "u-the-next"
        it.fake.add(the_next)
        await asyncio.sleep(0.02)
        assert it.phases() == {"v": "Released", "data": "Pending"}
        released = it.fake.get(PERSISTENT_VOLUMES, "v")
        assert released is not None
        spec = {key: value for key, value in released["spec"].items() if key != "claimRef"}
        it.fake.add({**released, "spec": spec})
        await it.until(lambda: it.pairs() == {"data": "v"})


async def test_a_claim_whose_volume_goes_is_lost_and_says_so() -> None:
    async with world(claim("data"), volume("v")) as it:
        await it.until(lambda: it.pairs() == {"data": "v"})
        it.fake.remove(PERSISTENT_VOLUMES, "v")
        await it.until(lambda: it.phases() == {"data": "Lost"})
        assert await it.messages("ClaimLost") == [
            "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        ]


@pytest.mark.parametrize("writes", range(6))
async def test_whoever_is_killed_between_two_writes_is_followed_by_one_who_goes_on(writes: int) -> None:
    it = World(claim("data"), volume("v"))
    made = 0

    async def until_killed() -> None:
        async with running(it, PersistentVolumeController):
            await it.until(lambda: len(it.fake.actions) >= made + writes or bool(it.pairs()))

    await until_killed()
    again = World(fake=it.fake)
    async with running(again, PersistentVolumeController):
        await again.until(lambda: again.pairs() == {"data": "v"})


async def test_a_conflict_is_no_more_than_another_look() -> None:
    it = World(claim("data"), volume("v"))
    it.fake.fail("update", "persistentvolumes", conflict(PERSISTENT_VOLUMES, "v"), times=2)
    it.fake.fail("update", "persistentvolumeclaims", conflict(PERSISTENT_VOLUME_CLAIMS, "data"), times=2)
    async with running(it, PersistentVolumeController):
        await it.until(lambda: it.pairs() == {"data": "v"})


async def test_many_at_once() -> None:
    count = 60
    claims = [claim(f"c{number}") for number in range(count)]
    async with world(*claims, *(volume(f"v{number}") for number in range(count))) as it:
        await it.until(lambda: len(it.pairs()) == count)
        assert len(set(it.pairs().values())) == count
