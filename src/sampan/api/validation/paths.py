"""Rules of paths that stay below a root."""

from __future__ import annotations

from sampan.api.errors import invalid_value, required
from sampan.api.validation.check import Errors


def no_backsteps(path: str, text: str) -> Errors:
    if ".." in text.split("/"):
        yield invalid_value(path, text, "must not contain '..'")


def local_path(path: str, text: str, *, reserved: bool = False) -> Errors:
    """A path that stays below its root; `reserved`: names that start with `..` are the volume's own."""
    if text.startswith("/"):
        yield invalid_value(path, text, "must be a relative path")
    yield from no_backsteps(path, text)
    if reserved and text.startswith("..") and not text.startswith("../"):
        yield invalid_value(path, text, "must not start with '..'")


def needed_local_path(path: str, text: str | None) -> Errors:
    if not text:
        yield required(path)
    else:
        yield from local_path(path, text, reserved=True)
