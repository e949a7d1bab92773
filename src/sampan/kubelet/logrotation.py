"""Keeps container logs from filling the disk: at 10 MiB a new file is begun, five are kept, old ones packed.

The old file is renamed and the runtime told to open a new one; no line is lost (the runtime writes to the old
file until then). A file is packed one turn later, when nobody writes to it any more, in a thread. Looking at
file sizes every 10 s is what upstream does as well (containerLogMaxSize, containerLogMaxFiles,
containerLogMonitorInterval); it costs one stat call for each running container.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sampan.kubelet.logfiles import PACKED, UNFINISHED, files
from sampan.kubelet.runtime.contract import Record, Runtime

MAX_BYTES = 10 << 20
MAX_FILES = 5
PERIOD_S = 10.0
_LEVEL = 1
"""Logs shrink tenfold at the cheapest level; a better one would cost the node more than the disk is worth."""

log = logging.getLogger(__name__)


class LogRotation:
    """`running`: the records of the containers that run now."""

    def __init__(
        self,
        runtime: Runtime,
        running: Callable[[], Iterable[Record]],
        *,
        max_bytes: int = MAX_BYTES,
        max_files: int = MAX_FILES,
    ) -> None:
        self._runtime, self._running = runtime, running
        self._max_bytes, self._max_files = max_bytes, max_files

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            for old in self.rotate():
                try:
                    await asyncio.to_thread(pack, old)
                except OSError as error:
                    log.warning("log %s not packed: %s", old, error)

    def rotate(self) -> list[Path]:
        """Begins new files where it is time to; the files that nobody writes to any more, to be packed."""
        unpacked: list[Path] = []
        for record in self._running():
            path = Path(record.spec.log_path)
            try:
                if path.stat().st_size > self._max_bytes:
                    unpacked += (old for old in files(path)[:-1] if old.suffix != PACKED)
                    self._begin_new(path)
                    self._runtime.reopen_log(record.spec.id)
            except OSError as error:
                log.warning("log %s not rotated: %s", path, error)
        return [path for path in unpacked if path.exists()]

    def _begin_new(self, path: Path) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path.rename(path.with_name(f"{path.name}.{stamp}"))
        parts = files(path)
        for old in parts[: max(len(parts) + 1 - self._max_files, 0)]:
            old.unlink()


def pack(path: Path) -> None:
    """In place of the file comes its packed form, of the same age. Readers who have it open read on."""
    unfinished = path.with_name(path.name + UNFINISHED)
    packed = path.with_name(path.name + PACKED)
    try:
        with path.open("rb") as source, gzip.open(unfinished, "wb", _LEVEL) as target:
            shutil.copyfileobj(source, target, 1 << 18)
        shutil.copystat(path, unfinished)
        unfinished.replace(packed)
    finally:
        unfinished.unlink(missing_ok=True)
    path.unlink()
