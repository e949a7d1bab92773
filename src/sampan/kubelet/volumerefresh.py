"""Volumes of a running Pod follow their sources; tokens are replaced before they end."""

from __future__ import annotations

import asyncio
import time

from sampan.kubelet.lifecycle import PodState
from sampan.kubelet.parts import Parts, Say, Spawn
from sampan.kubelet.podview import PodView
from sampan.kubelet.volumes.contract import VolumeFault

LOOK_AGAIN_S = 300.0
"""Tokens end by the wall's clock, which is set, and goes on while a machine sleeps; no timer knows."""


class VolumeRefresh:
    def __init__(self, parts: Parts, view: PodView, say: Say, spawn: Spawn) -> None:
        self._parts, self._view, self._say, self._spawn = parts, view, say, spawn
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> None:
        self._spawn(self._refresh(), "refresh")

    def schedule(self) -> None:
        """The next time that lies in the volumes themselves."""
        self.cancel()
        due_s = self._parts.volumes.refresh_due_s(self._view.uid)
        if due_s is not None and self._view.state in (PodState.PREPARING, PodState.UP):
            left_s = due_s - time.time()
            look = self.now if left_s <= LOOK_AGAIN_S else self.schedule
            self._timer = asyncio.get_running_loop().call_later(min(max(left_s, 1.0), LOOK_AGAIN_S), look)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _refresh(self) -> None:
        try:
            await self._parts.volumes.refresh(self._view.pod)
        except VolumeFault as fault:
            text = f'MountVolume.SetUp failed for volume "{fault.volume}" : {fault.message}'
            self._say("Warning", "FailedMount", text)
        self.schedule()
