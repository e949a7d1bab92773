"""Image volumes: the files of an OCI image, to be read and not run.

Source: KEP-4639; tasks/configure-pod-container/image-volumes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sampan.api.objects import Obj
from sampan.api.podspec import default_pull_policy
from sampan.kubelet.images.contract import Image, ImageFault, Images
from sampan.kubelet.volumes.contract import Mounted, Mounter, Settled, Volume, VolumeFault

Pull = Callable[[Obj, str], Awaitable[Image]]
"""(Pod, reference) -> the image, fetched with the Pod's credentials. Raises ImageFault."""


class ImageVolume(Settled):
    plugin = "kubernetes.io~image"

    def __init__(self, mounter: Mounter, images: Images, pull: Pull) -> None:
        self._mounter, self._images, self._pull = mounter, images, pull

    async def setup(self, volume: Volume) -> Mounted:
        source = volume.spec["image"]
        reference: str = source.get("reference") or ""
        try:
            image = await self._image(volume, reference, source.get("pullPolicy") or "")
        except ImageFault as fault:
            raise VolumeFault(volume.name, f"{fault.reason}: {fault.message}") from fault
        volume.directory.mkdir(parents=True, exist_ok=True)
        await self._mounter.layers(str(volume.directory), image.lower_dirs)
        return Mounted(str(volume.directory), read_only=True, no_exec=True, sub_paths=False)

    async def _image(self, volume: Volume, reference: str, policy: str) -> Image:
        policy = policy or default_pull_policy(reference)
        found = self._images.find(reference)
        if found is not None and policy != "Always" and not found.guards:
            return found  # what credentials opened is asked for again with the Pod's own
        if policy == "Never":
            text = f'Container image "{reference}" is not present with pull policy of Never'
            raise ImageFault("ErrImageNeverPull", text)
        return await self._pull(volume.pod, reference)
