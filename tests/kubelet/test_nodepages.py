"""The node's directory of logs: what is in it, and that nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.nodepages import NodePages

POD: Obj = {"metadata": {"name": "web", "namespace": "default", "uid": "u1"}}
HERE = "/logs/pods/default_web_u1"


@pytest.fixture
def pages(tmp_path: Path) -> NodePages:
    main = tmp_path / "pods" / "u1" / "main"
    main.mkdir(parents=True)
    (main / "0.log").write_text("line\n")
    (main / "0.message").write_text("secret\n")
    (main / "leak.log").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "pods" / "u1" / "etc.hosts").write_text("hosts\n")
    return NodePages(lambda: [POD], tmp_path / "pods")


async def test_directories_are_listed(pages: NodePages) -> None:
    for path, name in (
        ("/logs/", "pods/"),
        ("/logs/pods/", "default_web_u1/"),
        (f"{HERE}/", "main/"),
        (f"{HERE}/main/", "0.log"),
    ):
        page = await pages.page(path)
        assert page is not None and page.content_type.startswith("text/html")
        assert page.body.decode() == f'<!doctype html>\n<pre>\n<a href="{name}">{name}</a>\n</pre>\n'


async def test_a_log(pages: NodePages) -> None:
    page = await pages.page(f"{HERE}/main/0.log")
    assert page is not None and page.body == b"line\n"


@pytest.mark.parametrize(
    ("path", "moved"), [("/logs", "logs/"), ("/logs/pods", "pods/"), (HERE, "default_web_u1/")]
)
async def test_a_directory_ends_with_a_slash(pages: NodePages, path: str, moved: str) -> None:
    page = await pages.page(path)
    assert page is not None and page.moved == moved


@pytest.mark.parametrize(
    "path",
    [
        "/log",
        "/logs/x",
        "/logs/../secret",
        f"{HERE}/main/../../../../secret",
        f"{HERE}/main/leak.log",
        f"{HERE}/main/0.message",
        f"{HERE}/etc.hosts",
        f"{HERE}/main/0.log/",
        "/logs//etc/passwd",
    ],
)
async def test_nothing_else_is_there(pages: NodePages, path: str) -> None:
    assert await pages.page(path) is None


async def test_health(pages: NodePages) -> None:
    page = await pages.page("/healthz")
    assert page is not None and page.body == b"ok"
