from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime import mounts, staging
from sampan.kubelet.runtime.contract import Mount, RuntimeFault
from sampan.kubelet.runtime.staging import Staging
from sampan.kubelet.runtime.userns import made


def test_each_node_has_a_place_of_its_own(tmp_path: Path) -> None:
    places = {staging.anchor(tmp_path / name) for name in ("a", "b")}
    assert len(places) == 2 and all(place.parent == Path("/run") for place in places)
    staging.remove(tmp_path / "a")


@pytest.mark.root
async def test_what_is_staged_is_seen_there_alone(tmp_path: Path) -> None:
    place = staging.anchor(tmp_path)
    for name in ("root", "volume"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    volumes = [Mount(str(tmp_path / "volume"), "/v", read_only=True), Mount(str(tmp_path / "file"), "/f")]
    try:
        with made((), 1_000_000) as files:
            staged = Staging(place, "", str(files / "user"), tmp_path / "root", volumes)

            def look() -> list[int]:
                return [Path(m.source).stat().st_uid for m in staged.staged_mounts]

            assert await staged.call(look) == [1_000_000, 1_000_000]
        assert [m.target for m in staged.staged_mounts] == ["/v", "/f"]
        assert staged.staged_mounts[0].read_only
        assert not any(str(place) in point.target for point in mounts.table())
        assert list(place.iterdir()) == []
    finally:
        staging.remove(tmp_path)
    assert not place.exists()


@pytest.mark.root
async def test_a_volume_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    missing = [Mount(str(tmp_path / "nothing"), "/v")]
    try:
        with made((), 1_000_000) as files:
            staged = Staging(staging.anchor(tmp_path), "", str(files / "user"), tmp_path / "root", missing)
            with pytest.raises(RuntimeFault, match="nothing: No such file or directory"):
                await staged.call(lambda: None)
    finally:
        staging.remove(tmp_path)
