"""Keeps container logs from filling the disk: at 10 MiB a new file is begun, five are kept.

The old file is renamed and the runtime told to open a new one; no line is lost (the runtime writes to the old
file until then). Looking at file sizes every 10 s is what upstream does as well (containerLogMaxSize,
containerLogMaxFiles, containerLogMonitorInterval); it costs one stat call for each running container.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sampan.kubelet import logs
from sampan.kubelet.runtime.contract import Record, Runtime

MAX_BYTES = 10 << 20
MAX_FILES = 5
PERIOD_S = 10.0

log = logging.getLogger(__name__)


class LogRotation:
    """`running`: the records of the containers that run now."""

    def __init__(self, runtime: Runtime, running: Callable[[], Iterable[Record]]) -> None:
        self._runtime, self._running = runtime, running

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            self.rotate()

    def rotate(self) -> None:
        for record in self._running():
            path = Path(record.spec.log_path)
            try:
                if path.stat().st_size > MAX_BYTES:
                    _begin_new(path)
                    self._runtime.reopen_log(record.spec.id)
            except OSError as error:
                log.warning("log %s not rotated: %s", path, error)


def _begin_new(path: Path) -> None:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path.rename(path.with_name(f"{path.name}.{stamp}"))
    for old in logs.files(path)[: 1 - MAX_FILES]:
        old.unlink()
