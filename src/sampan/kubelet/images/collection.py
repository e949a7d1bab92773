"""Unused images go when the disk runs full, or when nobody needed them for long. Decisions are pure.

Source: concepts/architecture/garbage-collection, "Garbage collection of unused images". The disk is looked at
when an image was added and every few minutes; an image is never taken from under a container, nor from a Pod
that is here and will start it again; nor is one that came from a file, since nobody could fetch it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.kubelet.images.contract import Images, UnusedImage
from sampan.kubelet.numbers.counters import Counters

LOOK_S = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """Percent of the disk: from `high` on images go until it is at `low`. `maximum_age_s` 0: no limit."""

    high_threshold_percent: int = 85
    low_threshold_percent: int = 80
    minimum_age_s: float = 120.0
    maximum_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of the disk with the images, as an ordinary process may use them."""

    capacity: int
    available: int

    @property
    def used_percent(self) -> int:
        return 100 - self.available * 100 // self.capacity if self.capacity else 0

    def lacking(self, config: CollectionConfig) -> int:
        """How many bytes have to be freed; 0 below the high threshold."""
        if self.used_percent < config.high_threshold_percent:
            return 0
        return max(self.capacity * (100 - config.low_threshold_percent) // 100 - self.available, 0)


def removable(unused: Sequence[UnusedImage], config: CollectionConfig, now_s: float) -> list[UnusedImage]:
    """Those old enough to go, the one that was needed longest ago first."""
    old = [entry for entry in unused if now_s - entry.came_at_s >= config.minimum_age_s]
    return sorted(old, key=lambda entry: (entry.used_at_s, entry.came_at_s))


def too_old(unused: Sequence[UnusedImage], config: CollectionConfig, now_s: float) -> list[UnusedImage]:
    if not config.maximum_age_s:
        return []
    return [entry for entry in unused if now_s - entry.used_at_s > config.maximum_age_s]


class ImageCollector:
    """`root`: where the images are; `wanted()`: references that Pods of this node name.

    `say(reason, message)`: a Warning about the node.
    """

    def __init__(
        self,
        images: Images,
        root: Path,
        config: CollectionConfig,
        wanted: Callable[[], Collection[str]],
        say: Callable[[str, str], None],
        counters: Counters | None = None,
        *,
        room: Callable[[Path], Room] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._images, self._root, self._config = images, root, config
        self._wanted, self._say = wanted, say
        self._room, self._clock = room or room_of, clock
        self._turn = asyncio.Lock()
        self._look = asyncio.Event()
        self._counters = counters or Counters()

    def poke(self) -> None:
        """An image was added, or the disk was full: time to look."""
        self._look.set()

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()
            self._look.clear()
            try:
                await asyncio.to_thread(self._images.remember_use)
                await self.look()
            except OSError as error:
                self._say("ImageGCFailed", f"failed to garbage collect images: {error}")

    async def look(self) -> None:
        """Collects as far as the thresholds and ages ask for."""
        async with self._turn:
            unused = await self._unused()
            await self._forget(too_old(unused, self._config, self._clock()))
            room = self._room(self._root)
            if not room.capacity:
                self._say("InvalidDiskCapacity", f"invalid capacity 0 on image filesystem {self._root}")
            elif lacking := room.lacking(self._config):
                log.info("image disk is %d %% full: %d bytes are to be freed", room.used_percent, lacking)
                await self._free(unused, room, lacking)

    async def delete_unused(self) -> None:
        """All that nobody needs and somebody has, whatever its age: the node is short of disk."""
        async with self._turn:
            await self._forget(await self._unused())

    async def _unused(self) -> Sequence[UnusedImage]:
        found = await asyncio.to_thread(self._images.unused, self._wanted())
        return [entry for entry in found if not entry.imported]

    async def _free(self, unused: Sequence[UnusedImage], before: Room, lacking: int) -> None:
        for entry in removable(unused, self._config, self._clock()):
            await self._forget([entry])
            freed = self._room(self._root).available - before.available
            if freed >= lacking:
                return
        freed = max(self._room(self._root).available - before.available, 0)
        self._say(
            "FreeDiskSpaceFailed",
            f"Failed to garbage collect required amount of images. Attempted to free {lacking} bytes, "
            f"but only found {freed} bytes eligible to free.",
        )

    async def _forget(self, entries: Sequence[UnusedImage]) -> None:
        if not entries:
            return
        log.info("removing images that nobody needs: %s", ", ".join(entry.reference for entry in entries))
        await self._images.remove(*(entry.reference for entry in entries))
        self._counters.images_collected += len(entries)


def room_of(directory: Path) -> Room:
    disk = os.statvfs(directory)
    return Room(disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)
