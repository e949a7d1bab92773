"""The volumes of this node's Pods: made before the first container, refreshed when their source changes.

    PODS/UID/volumes.d/kubernetes.io~empty-dir/NAME    what containers see
    PODS/UID/subpaths.d/NAME/CONTAINER/INDEX           subPath mounts

All calls for one Pod come from its worker, one after the other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, uid_of
from sampan.kubelet import envfile
from sampan.kubelet.containerspec import PodPlace
from sampan.kubelet.runtime.contract import PLAIN, Features, Mount
from sampan.kubelet.runtime.mounts import table
from sampan.kubelet.volumes import removal
from sampan.kubelet.volumes.contract import (
    Mounted,
    Mounter,
    SubPathFault,
    Volume,
    VolumeFault,
    VolumeKind,
)
from sampan.kubelet.volumes.emptydir import in_memory
from sampan.kubelet.volumes.kinds import Kinds
from sampan.kubelet.volumes.mountoptions import check_propagation, container_mount, propagates
from sampan.kubelet.volumes.subpath import is_directory, open_sub_path, sub_path
from sampan.kubelet.volumes.usage import Usage, measure

VOLUMES, SUBPATHS = "volumes.d", "subpaths.d"
_LISTS = ("initContainers", "containers", "ephemeralContainers")


class Volumes:
    """`root` holds a directory per Pod, named by its uid."""

    def __init__(self, root: Path, kinds: Kinds, mounter: Mounter) -> None:
        self._root, self._kinds, self._mounter = root, kinds, mounter
        self._mounted: dict[tuple[str, str], Mounted] = {}
        self._making: dict[str, list[asyncio.Task[Mounted]]] = {}

    async def setup(self, pod: Obj) -> None:
        """Makes every volume that a container uses. Idempotent; raises VolumeFault.

        Nothing is being made any more when it ends, however it ends: what comes next may be the teardown.
        """
        tasks = [asyncio.create_task(self._setup(pod, spec)) for spec in _used(pod)]
        if not tasks:
            return
        self._making[uid_of(pod)] = tasks
        try:
            await asyncio.wait(tasks)
        finally:
            del self._making[uid_of(pod)]
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for spec, outcome in zip(_used(pod), outcomes, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                raise VolumeFault(spec["name"], "given up, for the Pod is to end")
            if isinstance(outcome, BaseException):
                raise outcome

    def abandon(self, uid: str) -> None:
        """The Pod is to end: whatever `setup` still waits for, an image or a server, is not waited for."""
        for task in self._making.get(uid, ()):
            task.cancel()

    async def refresh(self, pod: Obj) -> None:
        """Brings all volumes that show what may change up to date; raises the first VolumeFault met."""
        faults = []
        for spec in _used(pod):
            kind, volume = self._volume(pod, spec)
            if not volume.directory.exists():
                continue  # not made yet, or lying elsewhere
            try:
                await kind.refresh(volume)
            except VolumeFault as fault:
                faults.append(fault)
            except (StatusError, OSError) as error:
                faults.append(_fault(volume.name, error))
        if faults:
            raise faults[0]

    def usage(self, pod: Obj) -> dict[str, Usage]:
        """Blocking: what each of the Pod's volumes on the node's own disk holds, by name.

        And each file that all its containers may write: they could fill the disk with it (CVE-2020-8557).
        """
        base = self._root / uid_of(pod)
        found = {path.name: measure(str(path)) for path in (PodPlace(base).hosts, PodPlace(base).resolv_conf)}
        for spec in _used(pod):
            if spec.get("emptyDir") is not None and not in_memory(spec):
                _, volume = self._volume(pod, spec)
                found[volume.name] = measure(str(volume.directory))
        return found

    def refresh_due_s(self, uid: str) -> float | None:
        dues = (kind.refresh_due_s(uid) for kind in set(self._kinds.values()))
        return min((due for due in dues if due is not None), default=None)

    async def mounts(
        self, pod: Obj, container: Obj, env: Mapping[str, str], features: Features = PLAIN
    ) -> list[Mount]:
        """The container's `volumeMounts`; raises VolumeFault, SubPathFault."""
        made = []
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            name = mount["name"]
            mounted = await self._made(pod, name)
            source, below = mounted.path, sub_path(mount, env)
            if below:
                # The volume may lie on a server that does not answer.
                source = await asyncio.to_thread(self._bind_below, pod, container, index, mounted, below)
            made.append(container_mount(mount, mounted, source, features))
            if propagates(made[-1]):
                check_propagation(name, made[-1], table())
        return made

    async def read(self, pod: Obj, name: str, path: str) -> str | None:
        """The text of a small file in a volume, None if there is none; raises VolumeFault."""
        mounted = await self._made(pod, name)
        try:
            return await asyncio.to_thread(envfile.read, mounted.path, path)
        except (OSError, envfile.EnvFileFault) as error:
            raise VolumeFault(name, f'cannot read "{path}" in volume "{name}": {error}') from error

    async def teardown(self, uid: str) -> None:
        """Unmounts and removes everything of a Pod's volumes; hostPaths stay. Idempotent."""
        for key in [key for key in self._mounted if key[0] == uid]:
            del self._mounted[key]
        # An emptyDir may hold a million files: nobody else waits for them.
        await asyncio.to_thread(self._remove, self._root / uid)
        for kind in set(self._kinds.values()):
            await kind.teardown(uid)

    def _remove(self, base: Path) -> None:
        for part in (SUBPATHS, VOLUMES):
            if (base / part).exists():
                self._mounter.unmount(str(base / part))
                removal.remove(base / part)

    async def _made(self, pod: Obj, name: str) -> Mounted:
        """Also after a restart of this process, or if no container mounts it."""
        if mounted := self._mounted.get((uid_of(pod), name)):
            return mounted
        for volume in pod["spec"].get("volumes") or ():
            if volume["name"] == name:
                return await self._setup(pod, volume)
        raise VolumeFault(name, f'volume "{name}" is not in the Pod')

    async def _setup(self, pod: Obj, spec: Obj) -> Mounted:
        kind, volume = self._volume(pod, spec)
        try:
            mounted = await kind.setup(volume)
        except (StatusError, OSError) as error:
            raise _fault(volume.name, error) from error
        self._mounted[volume.uid, volume.name] = mounted
        return mounted

    def _volume(self, pod: Obj, spec: Obj) -> tuple[VolumeKind, Volume]:
        name = spec["name"]
        for field, kind in self._kinds.items():
            if spec.get(field) is not None:
                return kind, Volume(pod, spec, self._root / uid_of(pod) / VOLUMES / kind.plugin / name)
        sources = ", ".join(sorted(set(spec) - {"name"}))
        raise VolumeFault(name, f"no volume plugin matched: {sources or 'no source'}")

    def _bind_below(self, pod: Obj, container: Obj, index: int, mounted: Mounted, path: str) -> str:
        name = container["volumeMounts"][index]["name"]
        parent = self._root / uid_of(pod) / SUBPATHS / name / container["name"]
        target = parent / str(index)
        descriptor = open_sub_path(mounted.path, path, make=mounted.sub_paths)
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self._clear(target)
            if is_directory(descriptor):
                target.mkdir()
            else:
                target.touch()
            self._mounter.bind(descriptor, str(target))
        except OSError as error:
            raise SubPathFault(f'failed to mount subPath "{path}": {error.strerror or error}') from error
        finally:
            os.close(descriptor)
        return str(target)

    def _clear(self, target: Path) -> None:
        """What an earlier attempt at the container left; what it meant may be of another kind by now."""
        if target.is_dir():
            self._mounter.unmount(str(target))
            target.rmdir()
        elif target.exists():
            self._mounter.unmount(str(target))
            target.unlink()


def _used(pod: Obj) -> Iterator[Obj]:
    """The volumes that some container uses, in the order of the spec."""
    names = {
        use["name"]
        for group in _LISTS
        for container in pod["spec"].get(group) or ()
        for use in (*(container.get("volumeMounts") or ()), *(container.get("volumeDevices") or ()))
    }
    return (volume for volume in pod["spec"].get("volumes") or () if volume["name"] in names)


def _fault(volume: str, error: StatusError | OSError) -> VolumeFault:
    if isinstance(error, StatusError):
        return VolumeFault(volume, error.message)
    where = f": {error.filename}" if error.filename else ""
    return VolumeFault(volume, f"{(error.strerror or str(error)).lower()}{where}")
