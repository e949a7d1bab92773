from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sampan.kubelet.images.collection import (
    CollectionConfig,
    ImageCollector,
    Room,
    removable,
    too_old,
)
from sampan.kubelet.images.contract import UnusedImage
from sampan.kubelet.images.fake import FakeImages

pytestmark = pytest.mark.virtual_time

CONFIG = CollectionConfig()


def test_room_is_made_from_the_high_threshold_down_to_the_low_one() -> None:
    assert Room(1000, 160).lacking(CONFIG) == 0
    assert Room(1000, 150).lacking(CONFIG) == 50
    assert Room(1000, 0).lacking(CONFIG) == 200
    assert Room(0, 0).lacking(CONFIG) == 0


def test_the_one_needed_longest_ago_goes_first_and_a_new_one_stays() -> None:
    images = [UnusedImage("b", 0, 50), UnusedImage("a", 0, 10), UnusedImage("new", 950, 1)]
    assert [image.reference for image in removable(images, CONFIG, 1000)] == ["a", "b"]


def test_too_old_is_what_nobody_needed_for_so_long() -> None:
    images = [UnusedImage("a", 0, 10), UnusedImage("b", 0, 90)]
    assert too_old(images, CONFIG, 100) == []
    assert too_old(images, CollectionConfig(maximum_age_s=50), 100) == images[:1]


class Disk(FakeImages):
    """100 bytes; each image takes 10."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names, self.last = list(names), list(names)

    def unused(self, wanted: Collection[str]) -> Sequence[UnusedImage]:
        return [UnusedImage(n, 0, place) for place, n in enumerate(self.names) if n not in wanted]

    async def remove(self, *references: str) -> None:
        for name in references:
            self.names.remove(name)

    def room(self, _: Path) -> Room:
        return Room(100, 100 - 10 * len(self.names))


def collector(
    disk: Disk, *wanted: str, config: CollectionConfig = CONFIG
) -> tuple[ImageCollector, list[str]]:
    said: list[str] = []

    def say(reason: str, message: str) -> None:
        said.append(f"{reason}: {message}")

    return (
        ImageCollector(disk, Path("/"), config, lambda: wanted, say, room=disk.room, clock=lambda: 1e6),
        said,
    )


async def test_as_much_goes_as_is_needed_and_nothing_in_use() -> None:
    disk = Disk(*"abcdefghi")
    found, said = collector(disk, "a")
    await found.look()
    assert (disk.names, said) == (list("acdefghi"), [])


async def test_what_cannot_be_freed_is_told() -> None:
    disk = Disk(*"abcdefghi")
    found, said = collector(disk, *"abcdefghi")
    await found.look()
    assert len(disk.names) == 9
    assert said == [
        "FreeDiskSpaceFailed: Failed to garbage collect required amount of images. Attempted to free 10 "
        "bytes, but only found 0 bytes eligible to free."
    ]


async def test_a_node_short_of_disk_keeps_only_what_it_needs() -> None:
    disk = Disk("a", "b", "c")
    await collector(disk, "b")[0].delete_unused()
    assert disk.names == ["b"]


async def test_it_looks_when_told_to() -> None:
    disk = Disk(*"abcdefghi")
    found, _ = collector(disk)
    task = asyncio.create_task(found.run())
    await asyncio.sleep(0.01)
    assert len(disk.names) == 9
    found.poke()
    await asyncio.sleep(0.05)
    task.cancel()
    assert len(disk.names) == 8


@pytest.mark.parametrize("percent", [85, 99])
async def test_thresholds_are_choices(percent: int) -> None:
    disk = Disk(*"abcdefghi")
    await collector(disk, config=CollectionConfig(percent, 50))[0].look()
    assert len(disk.names) == (5 if percent == 85 else 9)


async def test_what_came_from_a_file_stays() -> None:
    """Nobody could fetch it again."""

    class Imported(Disk):
        def unused(self, wanted: Collection[str]) -> Sequence[UnusedImage]:
            return [replace(entry, imported=entry.reference < "h") for entry in super().unused(wanted)]

    disk = Imported(*"abcdefghi")
    await collector(disk)[0].look()
    assert disk.names == list("abcdefgi")
    await collector(disk)[0].delete_unused()
    assert disk.names == list("abcdefg")
