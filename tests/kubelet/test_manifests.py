"""The directory of manifests: what counts, what is told, and what is heard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.kubelet.manifests import Manifests

pytestmark = pytest.mark.virtual_time

POD = "{apiVersion: v1, kind: Pod, metadata: {name: NAME}, spec: {containers: [{name: c, image: i}]}}"


def text(name: str) -> str:
    return POD.replace("NAME", name)


async def comes_true(looks: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3
    while not looks():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.002)


class Told:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, reason: str, message: str) -> None:
        self.lines.append((reason, message))


@pytest.fixture
def told() -> Told:
    return Told()


def test_regular_files_whatever_their_suffix(tmp_path: Path, told: Told) -> None:
    for name in ("a.yaml", "b", "c.json~", ".hidden.yaml"):
        (tmp_path / name).write_text(text(name.strip(".~").partition(".")[0]))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d.yaml").write_text(text("d"))
    (tmp_path / "e.yaml").symlink_to(tmp_path / "below" / "d.yaml")
    (tmp_path / "f.yaml").symlink_to("nowhere")
    (tmp_path / "g.yaml").touch()
    found = Manifests(tmp_path, "n", told).look()
    assert sorted(found) == ["default/a-n", "default/b-n", "default/c-n", "default/d-n"]
    assert not told.lines


def test_bad_change_keeps_what_was_until_the_file_goes(tmp_path: Path, told: Told) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text("a"))
    manifests = Manifests(tmp_path, "n", told)
    first = manifests.look()
    file.write_text("kind: [")
    assert manifests.look() == first == manifests.look()
    assert [reason for reason, _ in told.lines] == ["FailedToReadManifest"]
    file.write_text(text("a"))
    assert {key: pod["metadata"]["uid"] for key, pod in manifests.look().items()} == {
        key: pod["metadata"]["uid"] for key, pod in first.items()
    }
    file.unlink()
    assert manifests.look() == {}


def test_name_that_is_taken(tmp_path: Path, told: Told) -> None:
    for name in ("1.yaml", "2.yaml"):
        (tmp_path / name).write_text(text("a"))
    manifests = Manifests(tmp_path, "n", told)
    manifests.look()
    assert len(manifests.look()) == 1
    assert told.lines == [("InvalidManifest", f"{tmp_path}/2.yaml: another file has Pod default/a-n already")]


def test_one_file(tmp_path: Path, told: Told) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(text(name[0]))
    assert list(Manifests(tmp_path / "b.yaml", "n", told).look()) == ["default/b-n"]


async def test_hears_of_files_and_of_a_directory_made_anew(tmp_path: Path, told: Told) -> None:
    directory = tmp_path / "m"
    manifests = Manifests(directory, "n", told)
    seen: list[list[str]] = []
    task = asyncio.create_task(manifests.run(lambda: seen.append(sorted(manifests.look()))))

    async def becomes(*keys: str) -> None:
        await comes_true(lambda: bool(seen) and seen[-1] == list(keys))

    await becomes()
    (directory / "a.yaml").write_text(text("a"))
    await becomes("default/a-n")
    (tmp_path / "b").write_text(text("b"))
    (tmp_path / "b").rename(directory / "b")
    await becomes("default/a-n", "default/b-n")
    (directory / "a.yaml").unlink()
    await becomes("default/b-n")
    (directory / "b").unlink()
    directory.rmdir()
    await becomes()
    await comes_true(directory.is_dir)
    await asyncio.sleep(0.01)
    (directory / "c").write_text(text("c"))
    await becomes("default/c-n")
    task.cancel()
    await asyncio.wait([task])
