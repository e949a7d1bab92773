"""Which command a container runs: `command` and `args` of the spec, against the image's. Pure.

`$(VAR)` is expanded here, not by a shell.
Source: tasks/inject-data-application/define-command-argument-container.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sampan.api.objects import Obj
from sampan.kubelet.images.contract import Image

# `$$` is a literal dollar; `$(` without a closing bracket is just text.
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` becomes the variable's value, or stays as it is where there is none; `$$` becomes `$`."""

    def value(match: re.Match[str]) -> str:
        name: str | None = match[1]
        return "$" if name is None else variables.get(name, match[0])

    return _REFERENCE.sub(value, text)


def references(text: str) -> list[str]:
    """The names that `expand` would look up."""
    return [match[1] for match in _REFERENCE.finditer(text) if match[1] is not None]


def argv(container: Obj, image: Image, variables: Mapping[str, str]) -> list[str]:
    """`command` replaces the image's entrypoint and its arguments; `args` alone only the arguments."""
    command, args = container.get("command") or [], container.get("args") or []
    if command:
        return [expand(word, variables) for word in (*command, *args)]
    if args:
        return [*image.entrypoint, *(expand(word, variables) for word in args)]
    return [*image.entrypoint, *image.cmd]
