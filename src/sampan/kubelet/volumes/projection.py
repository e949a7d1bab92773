"""configMap, secret, downwardAPI and projected volumes: API objects as files, kept up to date in place.

What must not reach a disk lies on a tmpfs. File work is done on the event loop: the files are small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan.api.errors import StatusError
from sampan.kubelet.references import References, of_volume
from sampan.kubelet.volumes import atomicwriter, ownership
from sampan.kubelet.volumes.contract import Mounted, Mounter, Volume, VolumeFault
from sampan.kubelet.volumes.payload import Context, PayloadError, payload, token_requests
from sampan.kubelet.volumes.tokens import Tokens

PLUGINS = {
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "projected": "kubernetes.io~projected",
    "downwardAPI": "kubernetes.io~downward-api",
}
IN_MEMORY = ("secret", "projected")


class Projection:
    """One of the four; `field` says which."""

    def __init__(
        self,
        field: str,
        mounter: Mounter,
        references: References,
        tokens: Tokens,
        allocatable: Callable[[], Mapping[str, str]],
    ) -> None:
        self.plugin = PLUGINS[field]
        self._in_memory = field in IN_MEMORY
        self._mounter, self._references = mounter, references
        self._tokens, self._allocatable = tokens, allocatable

    async def setup(self, volume: Volume) -> Mounted:
        path, gid = volume.directory, volume.fs_group
        ownership.make(path, gid)
        if self._in_memory:
            self._mounter.tmpfs(str(path), mode=ownership.mode(gid), gid=gid, secret=True)
        await self.refresh(volume)
        return Mounted(str(path), read_only=True)

    async def refresh(self, volume: Volume) -> None:
        try:
            objects = {
                (resource.singular, name): await self._references.get(resource, volume.namespace, name)
                for resource, name in of_volume(volume.spec)
            }
            tokens = await self._tokens.of(volume.pod, token_requests(volume.spec))
            context = Context(volume.pod, lambda kind, n: objects[kind, n], tokens, self._allocatable())
            files = payload(volume.spec, context)
        except PayloadError as error:
            raise VolumeFault(volume.name, str(error)) from error
        except StatusError as error:
            raise VolumeFault(volume.name, error.message) from error
        atomicwriter.write(volume.directory, files, volume.fs_group)

    def refresh_due_s(self, uid: str) -> float | None:
        return self._tokens.refresh_due_s(uid)

    async def teardown(self, uid: str) -> None:
        self._tokens.forget(uid)
