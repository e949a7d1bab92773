"""Images by hand: what is printed, and which mirrors are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.cli import cluster as clusters
from sampan.cli import image, main
from sampan.cli.cluster import Choices, Cluster
from sampan.cli.errors import UserError
from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.images.fake import FakeImages


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeImages]:
    """All verbs work on this store; no cluster was ever made on this machine."""
    fake = FakeImages()
    monkeypatch.setattr(clusters, "DEFAULT_ROOT", tmp_path)
    monkeypatch.setattr(image, "ImageStore", lambda root, mirrors: fake)
    yield fake


def test_import_ls_and_rm(images: FakeImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "web.tar"
    archive.touch()
    assert main.main(["image", "import", str(archive), "web:1"]) == 0
    (loaded,) = images.listing()
    assert capsys.readouterr().out == f"docker.io/library/web:1 {loaded.digest}\n"
    main.main(["image", "ls"])
    assert capsys.readouterr().out.splitlines() == [
        "IMAGE                     DIGEST         SIZE",
        f"docker.io/library/web:1   {loaded.digest[7:19]}   1.0 kB",
    ]
    main.main(["image", "ls", "-o", "json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["reference"], row["size_bytes"]) == ("docker.io/library/web:1", 1000)
    assert main.main(["image", "rm", "web:1"]) == 0
    assert capsys.readouterr().out == "removed docker.io/library/web:1\n"
    assert images.listing() == []


def test_without_images_the_head_stands_alone(images: FakeImages, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["image", "ls"])
    assert capsys.readouterr().out == "IMAGE   DIGEST   SIZE\n"


def test_pull_says_what_came(images: FakeImages, capsys: pytest.CaptureFixture[str]) -> None:
    images.any_image = True
    assert main.main(["image", "pull", "web"]) == 0
    assert capsys.readouterr().out == f"docker.io/library/web:latest {images.listing()[0].digest}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pull", "web"], "sampan: connection refused\n"),
        (["rm", "web"], "sampan: no such image: web\n  `sampan image ls` lists what there is.\n"),
        (["import", "/nonexistent.tar"], "sampan: there is no /nonexistent.tar\n"),
        (["ls", "x"], None),
    ],
)
def test_what_fails_is_said_in_one_line(
    arguments: list[str], said: str | None, images: FakeImages, capsys: pytest.CaptureFixture[str]
) -> None:
    images.fail("web", ImageFault("ErrImagePull", "connection refused"))
    if said is None:
        with pytest.raises(SystemExit):
            main.main(["image", *arguments])
    else:
        assert main.main(["image", *arguments]) == 1
        assert capsys.readouterr().err == said


def test_the_clusters_mirrors_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "DEFAULT_ROOT", tmp_path)

    def choices(*arguments: str) -> Choices:
        return image._choices(main.build_parser("image").parse_args(["image", *arguments, "ls"]))

    assert choices().mirrors == {}
    for name in ("sampan", "two"):
        cluster = Cluster(name, tmp_path / name)
        cluster.data.mkdir()
        cluster.keep(Choices(1, name, {"docker.io": f"http://{name}"}, str(tmp_path / f"images-{name}")))
        assert choices("--name", name).mirrors == {"docker.io": f"http://{name}"}
        assert choices("--name", name).images == tmp_path / f"images-{name}"
    with pytest.raises(UserError, match="there is no cluster 'three'"):
        choices("--name", "three")


def test_prune_removes_what_nobody_runs(images: FakeImages, capsys: pytest.CaptureFixture[str]) -> None:
    images.any_image = True
    main.main(["image", "pull", "web"])
    capsys.readouterr()
    assert main.main(["image", "prune"]) == 0
    assert capsys.readouterr().out == "removed docker.io/library/web:latest\n"
