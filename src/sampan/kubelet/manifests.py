"""The directory of static Pods: what lies in it, and when that changes.

A file that cannot be read or is wrong is told and changes nothing: what it said before goes on as long as it
lies there.
"""

from __future__ import annotations

import logging
import stat
import time
from collections.abc import Callable
from pathlib import Path

from sampan.api.clock import format_time
from sampan.api.objects import Obj, key_of
from sampan.kubelet.logwatch import LogWatch
from sampan.kubelet.staticpods import INVALID, UNREADABLE, ManifestFault, read

MOST_BYTES = 10 << 20
"""As upstream's limit on a manifest."""

log = logging.getLogger(__name__)


class Manifests:
    """`path`: a directory, or one file. `warn(reason, message)` tells of the node."""

    def __init__(self, path: Path, node: str, warn: Callable[[str, str], None]) -> None:
        self._path, self._node, self._warn = path, node, warn
        self._known: dict[Path, tuple[bytes, Obj | None]] = {}
        """The last content, and the Pod of the last one that was good."""
        self._told: dict[Path, str] = {}
        """What was wrong, said once."""

    def look(self) -> dict[str, Obj]:
        """Pods by namespace/name."""
        files = self._files()
        for gone in self._known.keys() - set(files):
            del self._known[gone]
        for gone in self._told.keys() - set(files):
            del self._told[gone]
        found: dict[str, Obj] = {}
        for file in files:
            pod = self._pod(file)
            if pod is None:
                continue
            if key_of(pod) in found:
                self._say(file, ManifestFault(INVALID, f"another file has Pod {key_of(pod)} already"))
            else:
                found[key_of(pod)] = pod
        return found

    async def run(self, heard: Callable[[], None]) -> None:
        """Calls `heard` once at once, and whenever something has changed, until cancelled."""
        watch = LogWatch()
        while True:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._path.is_file():
                self._path.mkdir(exist_ok=True)
            changes = watch.files(self._path)
            try:
                heard()
                while not changes.over:
                    await changes.wait()
                    heard()
            finally:
                changes.close()

    def _files(self) -> list[Path]:
        entries = [self._path] if self._path.is_file() else _entries(self._path)
        return sorted(entry for entry in entries if not entry.name.startswith(".") and _is_regular(entry))

    def _pod(self, file: Path) -> Obj | None:
        before, pod = self._known.get(file, (b"", None))
        try:
            if file.stat().st_size > MOST_BYTES:
                raise ManifestFault(UNREADABLE, f"it has more than {MOST_BYTES} bytes")
            data = file.read_bytes()
            if data != before and data:  # an empty file is one that is about to be written
                self._known[file] = (data, pod)
                pod = read(data, str(file), self._node, format_time(time.time()))
                self._known[file] = (data, pod)
                self._told.pop(file, None)
        except OSError as error:
            self._say(file, ManifestFault(UNREADABLE, str(error)))
        except ManifestFault as fault:
            self._say(file, fault)
        return pod

    def _say(self, file: Path, fault: ManifestFault) -> None:
        text = f"{file}: {fault.message}"
        if self._told.get(file) != text:
            self._told[file] = text
            log.warning("manifest %s", text)
            self._warn(fault.reason, text)


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False
