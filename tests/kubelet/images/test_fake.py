from __future__ import annotations

import asyncio

import pytest

from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.images.fake import FakeImages, image

pytestmark = pytest.mark.virtual_time


async def test_a_script_decides_what_is_there() -> None:
    images = FakeImages({"nginx": image("nginx", cmd=["nginx"])})
    assert images.find("nginx") is None
    images.fail("nginx", ImageFault("ErrImagePull", "connection refused"))
    with pytest.raises(ImageFault, match="connection refused"):
        await images.pull("nginx")
    assert (await images.pull("docker.io/library/nginx")).cmd == ("nginx",)
    assert images.find("nginx:latest") is not None
    with pytest.raises(ImageFault, match="not found"):
        await images.pull("nope")
    assert images.pulls == [*["docker.io/library/nginx:latest"] * 2, "docker.io/library/nope:latest"]
    await images.remove("nginx")
    assert list(images.listing()) == []


async def test_a_held_pull_waits() -> None:
    images = FakeImages(any_image=True)
    images.hold("a")
    pull = asyncio.ensure_future(images.pull("a"))
    await asyncio.sleep(0)
    assert not pull.done()
    images.release("a")
    assert (await pull).reference == "docker.io/library/a:latest"
