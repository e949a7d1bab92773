"""What is missing is said at once, whole, and with what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.cli import requirements
from sampan.cli.errors import UserError


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory where root finds programs; all that are needed lie in it."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "SEARCH", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in requirements.TOOLS:
        (tmp_path / name).touch(0o755)
    return tmp_path


def test_a_machine_that_has_everything_is_fine(programs: Path) -> None:
    requirements.check()


def test_everything_that_is_missing_is_named_at_once_and_every_package_once(programs: Path) -> None:
    for name in ("crun", "nsenter", "unshare", "nft"):
        (programs / name).unlink()
    with pytest.raises(UserError) as caught:
        requirements.check()
    assert caught.value.what == "these programs are missing: crun, nft, nsenter, unshare"
    assert caught.value.do == "apt-get install crun nftables util-linux"


def test_a_file_that_cannot_be_run_is_no_program(programs: Path) -> None:
    (programs / "crun").chmod(0o644)
    with pytest.raises(UserError, match="missing: crun"):
        requirements.check()


def test_system_programs_are_found_though_path_lacks_them(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "SEARCH", f":{programs}")
    monkeypatch.setenv("PATH", "/nonexistent")
    requirements.check()


def test_who_is_not_root_is_told_why_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="needs root: it makes network namespaces") as caught:
        requirements.check()
    assert caught.value.do == "Run it with sudo."
