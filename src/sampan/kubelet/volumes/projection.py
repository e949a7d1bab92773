"""configMap, secret, downwardAPI and projected volumes: API objects as files, kept up to date in place.

All of a Pod lie on one tmpfs: secrets must not reach a disk, one mount is cheaper than one each, and files
are made in microseconds there, so the event loop does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan.api.errors import StatusError
from sampan.api.podreferences import of_volume
from sampan.kubelet.references import References
from sampan.kubelet.volumes import atomicwriter, ownership
from sampan.kubelet.volumes.contract import Mounted, Mounter, Volume, VolumeFault
from sampan.kubelet.volumes.payload import Context, PayloadError, payload, token_requests
from sampan.kubelet.volumes.tokens import Tokens

FIELDS = ("configMap", "secret", "projected", "downwardAPI")


class Projection:
    """All four."""

    plugin = "kubernetes.io~objects"

    def __init__(
        self,
        mounter: Mounter,
        references: References,
        tokens: Tokens,
        allocatable: Callable[[], Mapping[str, str]],
    ) -> None:
        self._mounter, self._references = mounter, references
        self._tokens, self._allocatable = tokens, allocatable

    async def setup(self, volume: Volume) -> Mounted:
        path, gid = volume.directory, volume.fs_group
        path.parent.mkdir(parents=True, exist_ok=True)
        self._mounter.tmpfs(str(path.parent), mode=0o755, secret=True)
        ownership.make(path, gid)
        await self.refresh(volume)
        return Mounted(str(path), read_only=True)

    async def refresh(self, volume: Volume) -> None:
        try:
            # Tokens first: they take a while, and an object that changes meanwhile is to be shown as it is.
            tokens = await self._tokens.of(volume.pod, token_requests(volume.spec))
            objects = {
                (resource.singular, name): await self._references.get(resource, volume.namespace, name)
                for resource, name in of_volume(volume.spec)
            }
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
