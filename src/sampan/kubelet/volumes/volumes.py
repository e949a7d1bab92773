"""The volumes of this node's Pods: made before the first container, refreshed when their source changes.

    PODS/UID/volumes.d/kubernetes.io~configmap/NAME    what containers see
    PODS/UID/subpaths.d/NAME/CONTAINER/INDEX           subPath mounts

All calls for one Pod come from its worker, one after the other. File work is done on the event loop: the
files are small and lie on a tmpfs or in the page cache.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sampan.api import podspec
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, namespace_of, uid_of
from sampan.kubelet.command import expand
from sampan.kubelet.references import References, of_volume
from sampan.kubelet.runtime.contract import Mount
from sampan.kubelet.volumes import atomicwriter
from sampan.kubelet.volumes.contract import Mounted, Mounter, SubPathFault, VolumeFault
from sampan.kubelet.volumes.hostpath import host_path
from sampan.kubelet.volumes.payload import Context, PayloadError, payload, token_requests
from sampan.kubelet.volumes.subpath import is_directory, open_beneath
from sampan.kubelet.volumes.tokens import Tokens

PAYLOADS = ("configMap", "secret", "projected", "downwardAPI")
IN_MEMORY = ("secret", "projected")
"""What must not reach a disk."""
_PLUGIN = {
    "emptyDir": "empty-dir",
    "configMap": "configmap",
    "secret": "secret",
    "projected": "projected",
    "downwardAPI": "downward-api",
}
VOLUMES, SUBPATHS = "volumes.d", "subpaths.d"
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


class Volumes:
    def __init__(
        self,
        root: Path,
        references: References,
        tokens: Tokens,
        mounter: Mounter,
        allocatable: Callable[[], Mapping[str, str]],
    ) -> None:
        self._root, self._references, self._tokens = root, references, tokens
        self._mounter, self._allocatable = mounter, allocatable

    async def setup(self, pod: Obj) -> None:
        """Makes every volume that a container mounts. Idempotent; raises VolumeFault."""
        await asyncio.gather(*(self._setup(pod, volume) for volume in _used(pod)))

    async def refresh(self, pod: Obj) -> None:
        """Brings the files of volumes that show API objects up to date; raises VolumeFault."""
        for volume in _used(pod):
            if any(field in volume for field in PAYLOADS):
                await self._fill(pod, volume)

    def refresh_due_s(self, uid: str) -> float | None:
        return self._tokens.refresh_due_s(uid)

    def mounts(self, pod: Obj, container: Obj, env: Mapping[str, str]) -> list[Mount]:
        """The container's `volumeMounts`; raises VolumeFault, SubPathFault."""
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        made = []
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            volume = volumes.get(mount["name"])
            if volume is None:
                raise VolumeFault(mount["name"], f'volume "{mount["name"]}" is not in the Pod')
            mounted = self._where(pod, volume)
            source, below = mounted.path, _sub_path(mount, env)
            if below:
                source = self._bind_below(pod, container, mount, index, mounted.path, below)
            made.append(
                Mount(
                    source=source,
                    target=mount["mountPath"],
                    read_only=mounted.read_only or bool(mount.get("readOnly")),
                    propagation=_PROPAGATION.get(mount.get("mountPropagation") or "", "rprivate"),
                )
            )
        return made

    async def teardown(self, uid: str) -> None:
        """Unmounts and removes everything of a Pod's volumes; hostPaths stay. Idempotent."""
        self._tokens.forget(uid)
        # An emptyDir may hold a million files: nobody else waits for them.
        await asyncio.to_thread(self._remove, self._root / uid)

    def _remove(self, base: Path) -> None:
        for part in (SUBPATHS, VOLUMES):
            if (base / part).exists():
                self._mounter.unmount(str(base / part))
                shutil.rmtree(base / part)

    async def _setup(self, pod: Obj, volume: Obj) -> None:
        if (source := volume.get("hostPath")) is not None:
            host_path(volume["name"], source["path"], source.get("type") or "")
            return
        mounted = self._where(pod, volume)
        path = Path(mounted.path)
        try:
            self._make(pod, volume, path)
        except OSError as error:
            raise VolumeFault(volume["name"], f"{error.strerror or error}: {path}") from error
        if "emptyDir" not in volume:
            await self._fill(pod, volume)

    def _make(self, pod: Obj, volume: Obj, path: Path) -> None:
        fresh = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        empty_dir = volume.get("emptyDir")
        if empty_dir is not None:
            if empty_dir.get("medium") == "Memory":
                self._mounter.tmpfs(str(path), podspec.amount("memory", empty_dir.get("sizeLimit") or 0))
        elif any(field in volume for field in IN_MEMORY):
            self._mounter.tmpfs(str(path))
        if fresh:
            gid = _fs_group(pod)
            if gid is not None:
                os.chown(path, -1, gid)
            path.chmod(0o777 | (0o2000 if gid is not None else 0))

    async def _fill(self, pod: Obj, volume: Obj) -> None:
        name, namespace = volume["name"], namespace_of(pod)
        try:
            objects = {
                (resource.singular, wanted): await self._references.get(resource, namespace, wanted)
                for resource, wanted in of_volume(volume)
            }
            tokens = await self._tokens.of(pod, token_requests(volume))
            context = Context(pod, lambda kind, n: objects[kind, n], tokens, self._allocatable())
            files = payload(volume, context)
            atomicwriter.write(Path(self._where(pod, volume).path), files, _fs_group(pod))
        except PayloadError as error:
            raise VolumeFault(name, str(error)) from error
        except StatusError as error:
            raise VolumeFault(name, error.message) from error
        except OSError as error:
            raise VolumeFault(name, str(error)) from error

    def _where(self, pod: Obj, volume: Obj) -> Mounted:
        if (source := volume.get("hostPath")) is not None:
            return Mounted(source["path"])
        for field, plugin in _PLUGIN.items():
            if field in volume:
                directory = self._root / uid_of(pod) / VOLUMES / f"kubernetes.io~{plugin}"
                return Mounted(str(directory / volume["name"]), read_only=field in PAYLOADS)
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise VolumeFault(volume["name"], f"no volume plugin matched: {kinds or 'no source'}")

    def _bind_below(self, pod: Obj, container: Obj, mount: Obj, index: int, root: str, path: str) -> str:
        parent = self._root / uid_of(pod) / SUBPATHS / mount["name"] / container["name"]
        target = parent / str(index)
        descriptor = open_beneath(root, path)
        try:
            if target.exists():
                self._mounter.unmount(str(target))
            parent.mkdir(parents=True, exist_ok=True)
            if is_directory(descriptor):
                target.mkdir(exist_ok=True)
            else:
                target.touch()
            self._mounter.bind(descriptor, str(target))
        except OSError as error:
            raise SubPathFault(f'failed to mount subPath "{path}": {error.strerror or error}') from error
        finally:
            os.close(descriptor)
        return str(target)


def _used(pod: Obj) -> Iterator[Obj]:
    """The volumes that some container mounts, in the order of the spec."""
    names = {
        mount["name"]
        for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])
        for mount in container.get("volumeMounts") or ()
    }
    return (volume for volume in pod["spec"].get("volumes") or () if volume["name"] in names)


def _sub_path(mount: Obj, env: Mapping[str, str]) -> str:
    """The path below the volume; raises SubPathFault if an expression names an unknown variable."""
    if (path := mount.get("subPath")) is not None:
        return str(path)
    expression = mount.get("subPathExpr")
    if not expression:
        return ""
    path = expand(expression, env)
    if "$(" in path:
        raise SubPathFault(f'missing value for variable in subPathExpr "{expression}"')
    if not path or path.startswith("/") or ".." in path.split("/") or "`" in path:
        raise SubPathFault(f'subPathExpr "{expression}" gives "{path}", which is no path inside the volume')
    return path


def _fs_group(pod: Obj) -> int | None:
    return (pod["spec"].get("securityContext") or {}).get("fsGroup")
