"""NFS: by the host's helper, or refused with the package's name. The helper is a script here."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.volumes.contract import Mounted, Volume, VolumeFault
from sampan.kubelet.volumes.nfs import Nfs

SOURCE = {"server": "srv", "path": "/export"}


def volume(root: Path, **more: bool) -> Volume:
    return Volume({}, {"name": "v", "nfs": {**SOURCE, **more}}, root / "v")


def helper(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (directory / "mount.nfs").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "mount.nfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/bin:/usr/bin")


async def test_it_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/said')
    assert await Nfs().setup(volume(tmp_path)) == Mounted(str(tmp_path / "v"))
    assert await Nfs().setup(volume(tmp_path, readOnly=True)) == Mounted(str(tmp_path / "v"), read_only=True)
    plain, read_only = (tmp_path / "said").read_text().splitlines()
    assert plain == f"srv:/export {tmp_path}/v"
    assert read_only == f"{plain} -o ro"


async def test_what_the_helper_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, monkeypatch, "echo mount.nfs: Connection refused >&2; exit 32")
    with pytest.raises(VolumeFault) as caught:
        await Nfs().setup(volume(tmp_path))
    assert caught.value.message == "mount failed: mount.nfs: Connection refused"


async def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.kubelet.volumes.nfs.DEADLINE_S", 0.1)
    helper(tmp_path, monkeypatch, "exec sleep 100")
    with pytest.raises(VolumeFault, match=r"srv:/export did not answer in 0.1 s"):
        await Nfs().setup(volume(tmp_path))


async def test_a_host_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.kubelet.volumes.nfs.shutil.which", lambda name, path: None)
    with pytest.raises(VolumeFault) as caught:
        await Nfs().setup(volume(tmp_path))
    assert caught.value.message == "NFS needs mount.nfs; install with: apt-get install nfs-common"
