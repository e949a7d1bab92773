from __future__ import annotations

from pathlib import Path

import pytest

from sampan.kubelet.runtime.rootfs import options, read_text


def test_mount_options() -> None:
    assert options(["/l/b", "/l/a"], "/c/upper", "/c/work") == (
        "lowerdir=/l/b:/l/a,upperdir=/c/upper,workdir=/c/work,volatile"
    )
    assert options(["/a:b"], "/c,d", "/w") == "lowerdir=/a\\:b,upperdir=/c\\,d,workdir=/w,volatile"


@pytest.mark.parametrize("link", ["../../../../secret", "/secret", "secret"])
def test_links_of_an_image_do_not_leave_it(tmp_path: Path, link: str) -> None:
    (tmp_path / "secret").write_text("host")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").symlink_to(link)
    assert read_text(root, "/etc/passwd") == ""
    (root / "secret").write_text("image")
    (root / "etc/secret").write_text("image")
    assert read_text(root, "/etc/passwd") == "image"


def test_what_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_text(tmp_path, "/etc/passwd") == ""
