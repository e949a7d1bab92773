"""Paths that have to stay below their root."""

from __future__ import annotations

import pytest

from sampan.api.validation.paths import local_path, needed_local_path


@pytest.mark.parametrize(
    "path, said",
    [
        ("a/b", []),
        ("..a", []),
        ("/a", ["must be a relative path"]),
        ("a/../b", ["must not contain '..'"]),
        ("/..", ["must be a relative path", "must not contain '..'"]),
    ],
)
def test_a_path_stays_below_its_root(path: str, said: list[str]) -> None:
    assert [cause.message for cause in local_path("at", path)] == [
        f'Invalid value: "{path}": {s}' for s in said
    ]


def test_names_that_are_the_volumes_own_are_reserved() -> None:
    assert [cause.message for cause in needed_local_path("at", "..data")] == [
        "Invalid value: \"..data\": must not start with '..'"
    ]
    assert [cause.message for cause in needed_local_path("at", "")] == ["Required value"]
