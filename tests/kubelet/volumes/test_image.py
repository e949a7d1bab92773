"""Image volumes: found or fetched as their policy says, and never written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.images.contract import Image
from sampan.kubelet.images.fake import FakeImages, image
from sampan.kubelet.volumes.contract import Mounted, Volume, VolumeFault
from sampan.kubelet.volumes.fake import FakeMounter
from sampan.kubelet.volumes.image import ImageVolume

DATA, TAGGED = image("data"), image("data:1")


class Rig:
    """`data:1` is present, `data` in the registry alone."""

    def __init__(self, root: Path) -> None:
        self.images, self.mounter, self.root = (
            FakeImages({"data": DATA, "data:1": TAGGED}),
            FakeMounter(),
            root,
        )
        self.images.add(TAGGED)
        self.kind = ImageVolume(self.mounter, self.images, self.pull)

    async def pull(self, pod: Obj, reference: str) -> Image:
        return await self.images.pull(reference)

    async def setup(self, reference: str, policy: str = "") -> Mounted:
        source = {"reference": reference} | ({"pullPolicy": policy} if policy else {})
        return await self.kind.setup(Volume({}, {"name": "v", "image": source}, self.root / "v"))


@pytest.mark.parametrize(
    ("reference", "policy", "pulls"),
    [
        ("data:1", "", 0),
        ("data:1", "Never", 0),
        ("data:1", "IfNotPresent", 0),
        ("data:1", "Always", 1),
        ("data", "", 1),
        ("data", "IfNotPresent", 1),
    ],
)
async def test_it_is_there_to_be_read(tmp_path: Path, reference: str, policy: str, pulls: int) -> None:
    rig = Rig(tmp_path)
    mounted = await rig.setup(reference, policy)
    assert mounted == Mounted(str(tmp_path / "v"), read_only=True, no_exec=True, sub_paths=False)
    expected = TAGGED if reference == "data:1" else DATA
    assert rig.mounter.images == {str(tmp_path / "v"): tuple(expected.lower_dirs)}
    assert len(rig.images.pulls) == pulls


@pytest.mark.parametrize(
    ("reference", "policy", "complaint"),
    [
        (
            "data",
            "Never",
            'ErrImageNeverPull: Container image "data" is not present with pull policy of Never',
        ),
        ("nosuch", "Always", "ErrImagePull: "),
    ],
)
async def test_faults(tmp_path: Path, reference: str, policy: str, complaint: str) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(VolumeFault, match=complaint):
        await rig.setup(reference, policy)
    assert not rig.mounter.images
