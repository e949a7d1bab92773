"""The built-in provisioner over an API server in memory and a real directory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from harness.storage import WAITS, claim, storage_class
from harness.world import World as BaseWorld
from harness.world import running
from sampan.api.errors import status_error
from sampan.api.objects import Obj, annotations_of
from sampan.api.persistence import DIRECTORIES, SELECTED_NODE, STORAGE_PROVISIONER
from sampan.api.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from sampan.kubelet.volumes.directories import Directories

pytestmark = pytest.mark.virtual_time


class World(BaseWorld):
    def volumes(self) -> list[Obj]:
        return self.fake.objects(PERSISTENT_VOLUMES)

    def told(self, reason: str) -> list[str]:
        return [event["message"] for event in self.fake.objects(EVENTS) if event["reason"] == reason]


def world(root: Path, *objects: Obj, on: World | None = None) -> AbstractAsyncContextManager[World]:
    def directories(client: Any, informers: Any, events: Any) -> Directories:
        return Directories(client, informers, "n1", root)

    return running(on or World(*objects), directories)


def asking(node: str = "n1", storage_class: str = "late", **spec: Any) -> Obj:
    found = claim(storageClassName=storage_class, **spec)
    selected = {SELECTED_NODE: node} if node else {}
    found["metadata"]["annotations"] = {STORAGE_PROVISIONER: DIRECTORIES, **selected}
    return found


LATE = storage_class("late", WAITS, DIRECTORIES, reclaimPolicy="Delete")
SOON = storage_class("soon", provisioner=DIRECTORIES)
NAME = "pvc-u-data"


def released(it: World, **spec: Any) -> None:
    (volume,) = it.volumes()
    it.fake.add({**volume, "spec": {**volume["spec"], **spec}, "status": {"phase": "Released"}})


async def test_a_directory_for_a_claim_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    root = tmp_path / "volumes"
    async with world(root, LATE, asking()) as it:
        await it.until(lambda: len(it.volumes()) == 1)
        assert it.volumes()[0]["metadata"]["name"] == NAME
        assert (root / NAME).stat().st_mode & 0o7777 == 0o777
        (root / NAME / "below").mkdir()
        (root / NAME / "below" / "out").symlink_to(tmp_path / "kept")
        (tmp_path / "kept").write_text("x")
        await it.until(lambda: bool(it.told("ProvisioningSucceeded")))
        released(it)
        await it.until(lambda: not it.volumes())
        assert not list(root.iterdir())
        assert (tmp_path / "kept").exists()


async def test_of_a_class_that_binds_at_once_the_first_node_takes_it(tmp_path: Path) -> None:
    async with world(tmp_path, SOON, asking("", "soon")) as it:
        await it.until(lambda: len(it.volumes()) == 1)
        assert annotations_of(it.fake.objects(PERSISTENT_VOLUME_CLAIMS)[0])[SELECTED_NODE] == "n1"


async def test_other_nodes_claims_are_left_to_them(tmp_path: Path) -> None:
    async with world(tmp_path, LATE, asking("n2")) as it:
        await asyncio.sleep(0.02)
        assert not it.volumes() and not list(tmp_path.iterdir())


async def test_who_was_killed_between_directory_and_volume_goes_on(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "file").write_text("of an earlier life")
    async with world(tmp_path, LATE, asking()) as it:
        await it.until(lambda: len(it.volumes()) == 1)
        assert (tmp_path / NAME / "file").exists()
        (volume,) = it.volumes()
        again = World(fake=it.fake)
    async with world(tmp_path, on=again):
        await asyncio.sleep(0.02)
        assert again.volumes() == [volume]


@pytest.mark.parametrize("verb", ["delete", "update"])
async def test_who_was_killed_on_the_way_back_goes_on(tmp_path: Path, verb: str) -> None:
    async with world(tmp_path, LATE, asking()) as it:
        await it.until(lambda: len(it.volumes()) == 1)
        it.fake.fail(verb, "persistentvolumes", status_error(500, "InternalError", "no"), times=1000)
        released(it)
        await it.until(lambda: not (tmp_path / NAME).exists())
        await asyncio.sleep(0.01)
        assert len(it.volumes()) == 1
        it.fake._failures.clear()
        again = World(fake=it.fake)
    async with world(tmp_path, on=again):
        await again.until(lambda: not again.volumes())


async def test_what_never_became_a_volume_is_tidied_up_unless_it_has_data(tmp_path: Path) -> None:
    for name in (NAME, "pvc-u-gone", "pvc-u-full", ".0123"):
        (tmp_path / name).mkdir()
    (tmp_path / "pvc-u-full" / "data").touch()
    async with world(tmp_path, LATE, asking("n2")) as it:
        await it.until(lambda: len(list(tmp_path.iterdir())) == 2)
        assert {path.name for path in tmp_path.iterdir()} == {NAME, "pvc-u-full"}


async def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    async with world(tmp_path, LATE, asking(volumeMode="Block")) as it:
        await it.until(lambda: bool(it.told("ProvisioningFailed")))
        assert it.told("ProvisioningFailed") == [
            'failed to provision volume with StorageClass "late": '
            "volumeMode Block is not supported: a directory is no device"
        ]


async def test_a_disk_that_cannot_be_written_is_said_and_tried_again(tmp_path: Path) -> None:
    root = tmp_path / "volumes"
    root.write_text("no directory")
    async with world(root, LATE, asking()) as it:
        await it.until(lambda: bool(it.told("ProvisioningFailed")))
        root.unlink()
        await it.until(lambda: len(it.volumes()) == 1)


async def test_retained_data_stay_when_their_volume_is_deleted(tmp_path: Path) -> None:
    async with world(tmp_path, LATE, asking()) as it:
        await it.until(lambda: len(it.volumes()) == 1)
        released(it, persistentVolumeReclaimPolicy="Retain")
        await it.client.delete(PERSISTENT_VOLUMES, NAME)
        await it.until(lambda: not it.volumes())
        assert (tmp_path / NAME).exists()


async def test_a_volume_that_names_another_place_costs_nothing_there(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with world(tmp_path / "volumes", LATE, asking()) as it:
        await it.until(lambda: len(it.volumes()) == 1)
        released(it, local={"path": str(elsewhere)})
        await it.until(lambda: bool(it.told("VolumeFailedDelete")))
        assert elsewhere.exists() and it.volumes()


async def test_a_link_in_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    root, prey = tmp_path / "volumes", tmp_path / "prey"
    prey.mkdir()
    (prey / "file").write_text("x")
    async with world(root, LATE, asking()) as it:
        await it.until(lambda: len(it.volumes()) == 1)
        (root / NAME).rmdir()
        (root / NAME).symlink_to(prey)
        released(it)
        await it.until(lambda: bool(it.told("VolumeFailedDelete")))
        assert (prey / "file").exists() and it.volumes()
