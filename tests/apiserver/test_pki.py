from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest

from sampan.apiserver import pki
from sampan.apiserver.pki import PkiFault


def subject_alternatives(path: Path) -> set[str]:
    found = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    return {value for _, value in found["subjectAltName"]}


def test_keys_are_ours_alone_and_stay(tmp_path: Path) -> None:
    keys = pki.load_or_create(tmp_path / "pki", ["localhost", "127.0.0.1"])
    assert {path.stat().st_mode & 0o777 for path in keys.directory.iterdir()} == {0o600}
    assert keys.directory.stat().st_mode & 0o777 == 0o700
    before = {path: path.read_bytes() for path in keys.directory.iterdir()}
    pki.load_or_create(tmp_path / "pki", ["127.0.0.1"])
    assert {path: path.read_bytes() for path in keys.directory.iterdir()} == before


def test_a_new_name_makes_a_new_server_certificate_of_the_same_authority(tmp_path: Path) -> None:
    keys = pki.load_or_create(tmp_path, ["localhost"])
    ca = keys.ca_pem
    pki.load_or_create(tmp_path, ["localhost", "10.96.0.1"])
    assert subject_alternatives(keys.certificate("apiserver")) == {"localhost", "10.96.0.1"}
    assert keys.ca_pem == ca
    keys.server_context()


def test_half_a_pair_is_made_again(tmp_path: Path) -> None:
    keys = pki.load_or_create(tmp_path, ["localhost"])
    keys.key("admin").unlink()
    pki.load_or_create(tmp_path, ["localhost"])
    context = ssl.create_default_context(cafile=str(keys.ca))
    context.load_cert_chain(keys.certificate("admin"), keys.key("admin"))


async def test_the_program_makes_what_is_missing_and_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = await pki.provide(tmp_path / "pki", ["localhost"])
    keys.server_context()
    assert keys.serves(["localhost"])
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert await pki.provide(tmp_path / "pki", ["localhost"]) == keys


@pytest.mark.parametrize(
    "name", ["ca.crt", "ca.key", "apiserver.crt", "admin.key", "sa.key", "apiserver.names"]
)
def test_whatever_is_missing_is_missed(tmp_path: Path, name: str) -> None:
    keys = pki.load_or_create(tmp_path, ["localhost"])
    assert not keys.serves(["localhost", "10.96.0.1"])
    (tmp_path / name).unlink()
    assert not keys.serves(["localhost"])
    assert pki.load_or_create(tmp_path, ["localhost"]).serves(["localhost"])


async def test_what_the_program_died_of_is_said(tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("a file where the directory should be")
    with pytest.raises(PkiFault, match="File exists"):
        await pki.provide(tmp_path / "pki", ["localhost"])


async def test_the_program_that_began_early_is_told_the_names(tmp_path: Path) -> None:
    maker = pki.begin(tmp_path / "pki")
    assert maker is not None
    keys = await pki.provide(tmp_path / "pki", ["localhost", "10.0.0.1"], maker)
    assert subject_alternatives(keys.certificate("apiserver")) == {"localhost", "10.0.0.1"}
    assert pki.begin(tmp_path / "pki") is None


def test_the_program_that_nobody_tells_names_makes_nothing_and_ends(tmp_path: Path) -> None:
    maker = pki.begin(tmp_path / "pki")
    assert maker is not None
    assert maker.communicate()[1] == b""
    assert maker.returncode == 0
    assert not (tmp_path / "pki").exists()
