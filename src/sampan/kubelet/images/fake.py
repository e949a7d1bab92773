"""Images without a registry. Keeps images/contract.py.

images = FakeImages(remote={"nginx": image("nginx", cmd=["nginx"])})   # what a pull finds
images.add(image("busybox"))                                          # already present
images.fail("nginx", ImageFault("ErrImagePull", "connection refused"))  # the next pull
images.hold("nginx")                                                  # pulls wait until release("nginx")
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from sampan.kubelet.images.contract import Image, ImageFault, UnusedImage
from sampan.kubelet.images.reference import normalise


def image(
    reference: str,
    *,
    entrypoint: Sequence[str] = (),
    cmd: Sequence[str] = (),
    env: Sequence[str] = (),
    user: str = "",
    working_dir: str = "",
    size_bytes: int = 1000,
) -> Image:
    """An image with digests made from its name."""
    name = normalise(reference)
    digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
    config = "sha256:" + hashlib.sha256(digest.encode()).hexdigest()
    return Image(
        reference=name,
        digest=digest,
        id=config,
        lower_dirs=(f"/fake/layers/{digest[7:19]}",),
        size_bytes=size_bytes,
        entrypoint=tuple(entrypoint),
        cmd=tuple(cmd),
        env=tuple(env),
        user=user,
        working_dir=working_dir,
    )


class FakeImages:
    """Keeps contract.Images. `pulls` lists every pull asked for, normalised."""

    def __init__(self, remote: Mapping[str, Image] | None = None, *, any_image: bool = False) -> None:
        self.remote = {normalise(name): found for name, found in (remote or {}).items()}
        self.any_image = any_image
        """Whether a pull of any well-formed reference finds something."""
        self.pulls: list[str] = []
        self.on_added: Callable[[], None] | None = None
        self._present: dict[str, Image] = {}
        self._faults: dict[str, list[ImageFault]] = {}
        self._held: dict[str, asyncio.Event] = {}

    def add(self, present: Image) -> None:
        self._present[present.reference] = present

    def fail(self, reference: str, fault: ImageFault) -> None:
        self._faults.setdefault(normalise(reference), []).append(fault)

    def hold(self, reference: str) -> None:
        self._held[normalise(reference)] = asyncio.Event()

    def release(self, reference: str) -> None:
        self._held.pop(normalise(reference)).set()

    async def open(self) -> None:
        """Nothing to read."""

    def find(self, reference: str) -> Image | None:
        return self._present.get(normalise(reference))

    async def pull(
        self,
        reference: str,
        *,
        auth: Sequence[Mapping[str, object]] = (),
        began: Callable[[], None] | None = None,
    ) -> Image:
        name = normalise(reference)
        self.pulls.append(name)
        if (held := self._held.get(name)) is not None:
            await held.wait()
        if began is not None:
            began()
        if faults := self._faults.get(name):
            raise faults.pop(0)
        found = self.remote.get(name) or (image(name) if self.any_image else None)
        if found is None:
            raise ImageFault("ErrImagePull", f'failed to pull and unpack image "{name}": {name}: not found')
        self._present[name] = replace(found, reference=name)
        return self._present[name]

    def listing(self) -> Sequence[Image]:
        return list(self._present.values())

    async def load(self, file: str, reference: str = "") -> Sequence[Image]:
        loaded = image(reference or file.rsplit("/", 1)[-1].split(".")[0])
        self.add(loaded)
        return [loaded]

    async def remove(self, *references: str) -> None:
        for reference in references:
            self._present.pop(normalise(reference), None)

    def unused(self, wanted: Collection[str]) -> Sequence[UnusedImage]:
        named = {normalise(reference) for reference in wanted}
        return [UnusedImage(name, 0.0, 0.0) for name in self._present if name not in named]

    def remember_use(self) -> None:
        """There is nobody who would ask."""
