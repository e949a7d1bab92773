"""Local volumes: somebody else's directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.volumes.contract import Volume, VolumeFault
from sampan.kubelet.volumes.local import Local

POD = {"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": {}}


def volume(path: Path) -> Volume:
    return Volume(POD, {"name": "v", "local": {"path": str(path)}}, Path("/nowhere"))


async def test_it_is_where_it_says(tmp_path: Path) -> None:
    assert (await Local().setup(volume(tmp_path))).path == str(tmp_path)


async def test_it_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(VolumeFault, match="does not exist"):
        await Local().setup(volume(tmp_path / "missing"))
    (tmp_path / "file").touch()
    with pytest.raises(VolumeFault, match="is not a directory"):
        await Local().setup(volume(tmp_path / "file"))
