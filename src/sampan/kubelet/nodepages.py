"""What this node shows at `nodes/NAME/proxy`: its health, and the directory of its containers' logs.

The directory has upstream's names, `/logs/pods/NAMESPACE_NAME_UID/CONTAINER/0.log`, and is made up of what
lies below the node's own; a path is looked up name by name among those that are there, so it leads
nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from sampan.api.objects import Obj, name_of, namespace_of, uid_of
from sampan.api.streams import Page

_HTML = "text/html; charset=utf-8"
_BYTES = "text/plain; charset=utf-8"

Tree = Mapping[str, "Callable[[], Tree] | Path"]
"""Names with what is behind them: a further directory, or a file."""


class NodePages:
    """`pods`: those that this node has now; `directory`: where their files are, by uid."""

    def __init__(self, pods: Callable[[], list[Obj]], directory: Path) -> None:
        self._pods, self._directory = pods, directory

    async def page(self, path: str) -> Page | None:
        if path in ("/healthz", "/healthz/ping", "/healthz/syncloop"):
            return Page(b"ok")
        if path != "/logs" and not path.startswith("/logs/"):
            return None
        return await asyncio.to_thread(self._logs, path.removeprefix("/logs"))

    def _logs(self, path: str) -> Page | None:
        tree: Tree = {"pods": self._of_pods}
        *names, last = path.split("/")[1:] or [""]
        for name in names:
            below = tree.get(name)
            if below is None or isinstance(below, Path):
                return None
            tree = below()
        if not path:
            return Page(moved="logs/")
        if not last:
            return Page(_listing(tree), _HTML)
        found = tree.get(last)
        if isinstance(found, Path):
            try:
                return Page(found.read_bytes(), _BYTES)
            except FileNotFoundError:
                return None  # rotated away meanwhile
        return Page(moved=f"{quote(last)}/") if found is not None else None

    def _of_pods(self) -> Tree:
        return {
            f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}": lambda pod=pod: self._of_containers(pod)  # type: ignore[misc]
            for pod in self._pods()
        }

    def _of_containers(self, pod: Obj) -> Tree:
        return {
            directory.name: lambda directory=directory: _of_files(directory)  # type: ignore[misc]
            for directory in sorted(self._directory.glob(f"{uid_of(pod)}/*"))
            if any(directory.glob("*.log"))
        }


def _of_files(directory: Path) -> Tree:
    return {file.name: file for file in sorted(directory.glob("*.log*")) if not file.is_symlink()}


def _listing(tree: Tree) -> bytes:
    import html  # 2,200 names of characters, for a page that hardly anybody reads

    names = [name if isinstance(below, Path) else f"{name}/" for name, below in tree.items()]
    lines = (f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return f"<!doctype html>\n<pre>\n{''.join(lines)}</pre>\n".encode()
