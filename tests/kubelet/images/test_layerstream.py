from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from sampan.kubelet.images import layerstream
from sampan.kubelet.images.layerstream import CHUNK, LayerFault, Limits

SMALL = Limits(free_bytes=4 * CHUNK, reserve=0)


def read(tmp_path: Path, blob: bytes, limits: Limits = SMALL) -> str:
    (tmp_path / "blob").write_bytes(blob)
    with layerstream.opened(tmp_path / "blob", tmp_path, limits) as stream:
        return stream.finish()


def zstd(data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("needs zstd")
    return subprocess.run(["zstd", "-c"], input=data, check=True, capture_output=True).stdout


def test_all_forms_are_one_stream(tmp_path: Path) -> None:
    assert len({read(tmp_path, form) for form in (b"data", gzip.compress(b"data"), zstd(b"data"))}) == 1


def test_a_stream_out_of_proportion_ends(tmp_path: Path) -> None:
    bomb = bytes(300 * CHUNK)
    for form in (gzip.compress(bomb), zstd(bomb)):
        with pytest.raises(LayerFault, match="out of proportion"):
            read(tmp_path, form)


def test_a_stream_that_would_fill_the_disk_ends(tmp_path: Path) -> None:
    with pytest.raises(LayerFault, match="no space left on device"):
        read(tmp_path, b"x", Limits(reserve=1.1))


def test_zstd_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(LayerFault, match="apt-get install zstd"):
        read(tmp_path, b"\x28\xb5\x2f\xfd")


def test_damaged_zstd_is_told(tmp_path: Path) -> None:
    with pytest.raises(LayerFault, match="damaged") as caught:
        read(tmp_path, zstd(b"data" * 100)[:-5])
    assert caught.value.blob == "sha256:blob"
