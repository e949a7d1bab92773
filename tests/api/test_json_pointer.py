from __future__ import annotations

from typing import Any

import pytest

from sampan.api import json_pointer


def root() -> dict[str, Any]:
    return {"": {"a": {"b": [1, 2, 3], "c/d": 1, "e~f": 2}, "": "empty"}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/a/b/0", 1),
        ("/a/b/-1", 3),
        ("/a/c~1d", 1),
        ("/a/e~0f", 2),
        ("/", "empty"),
        ("/a/x", json_pointer.MISSING),
        ("", root()[""]),
    ],
)
def test_get(path: str, value: Any) -> None:
    assert json_pointer.get(root(), path, "test") == value


@pytest.mark.parametrize("path", ["/a/b/3", "/a/b/-4", "/a/b/x", "/a/b/-", "/a/b/²", "/x/y", "a", "/a/b/0/c"])
def test_paths_to_nowhere(path: str) -> None:
    with pytest.raises(json_pointer.PointerError):
        json_pointer.get(root(), path, "test")


def test_add_inserts_into_lists() -> None:
    document = root()
    json_pointer.add(document, "/a/b/1", 9, "add")
    json_pointer.add(document, "/a/b/-", 8, "add")
    json_pointer.add(document, "/a/b/5", 7, "add")
    assert document[""]["a"]["b"] == [1, 9, 2, 3, 8, 7]
    json_pointer.add(document, "/a/b/-1", 6, "add")
    assert document[""]["a"]["b"][-1] == 6


def test_replace_sets_what_is_not_there() -> None:
    document = root()
    json_pointer.replace(document, "/a/new", 1)
    assert document[""]["a"]["new"] == 1


def test_remove() -> None:
    document = root()
    assert json_pointer.remove(document, "/a/b/0", "remove") == 1
    assert document[""]["a"]["b"] == [2, 3]
    with pytest.raises(json_pointer.PointerError, match="Unable to remove nonexistent key: x"):
        json_pointer.remove(document, "/a/x", "remove")
    with pytest.raises(json_pointer.PointerError, match="doc is missing path"):
        json_pointer.remove(document, "", "remove")


def test_within() -> None:
    assert json_pointer.is_within("/a/b", "/a")
    assert not json_pointer.is_within("/ab", "/a")
    assert not json_pointer.is_within("/a", "/a")
