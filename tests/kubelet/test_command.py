"""The four combinations of command and args, and expansion."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.kubelet.command import argv, expand
from sampan.kubelet.images.fake import image

IMAGE = image("x", entrypoint=["/ep"], cmd=["default"])


@pytest.mark.parametrize(
    ("container", "wanted"),
    [
        ({}, ["/ep", "default"]),
        ({"args": ["a"]}, ["/ep", "a"]),
        ({"command": ["c"]}, ["c"]),
        ({"command": ["c"], "args": ["a"]}, ["c", "a"]),
        ({"command": ["$(A)", "$$(A)"], "args": ["$(B)"]}, ["1", "$(A)", "$(B)"]),
    ],
)
def test_command_and_args(container: dict[str, Any], wanted: list[str]) -> None:
    assert argv(container, IMAGE, {"A": "1"}) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$(A)b$(A)", "1b1"),
        ("$()", "$()"),
        ("$", "$"),
        ("$(A", "$(A"),
    ],
)
def test_expansion(text: str, wanted: str) -> None:
    assert expand(text, {"A": "1"}) == wanted
