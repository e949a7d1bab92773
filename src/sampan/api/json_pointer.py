"""JSON pointers (RFC 6901) into a document, as JSON patch uses them.

The functions take the root object under whose member "" the document hangs, so that "" can be replaced too.
Where upstream's library is more lenient than RFC 6902 so is this: `replace` sets what is not there,
negative list indices count from the end. Refusals name the operation, in that library's words.
"""

from __future__ import annotations

from typing import Any


class PointerError(Exception):
    """The path leads nowhere, or not where the operation needs it to."""


MISSING = object()


def get(root: Any, path: str, operation: str) -> Any:
    """The value, or MISSING when only the last step leads nowhere."""
    parent, token = _parent(root, path, operation)
    if isinstance(parent, dict):
        return parent.get(token, MISSING)
    return parent[_index(parent, token, path, operation)]


def add(root: Any, path: str, value: Any, operation: str) -> None:
    """Inserts into lists (`-` appends), sets in objects."""
    parent, token = _parent(root, path, operation)
    if isinstance(parent, list):
        index = len(parent) if token == "-" else _index(parent, token, path, operation, room=1)
        parent.insert(index, value)
    else:
        parent[token] = value


def replace(root: Any, path: str, value: Any) -> None:
    parent, token = _parent(root, path, "replace")
    if isinstance(parent, list):
        parent[_index(parent, token, path, "replace")] = value
    else:
        parent[token] = value


def remove(root: Any, path: str, operation: str) -> Any:
    """Answers what was removed."""
    if not path:
        raise _missing(operation, path)
    parent, token = _parent(root, path, operation)
    if isinstance(parent, list):
        return parent.pop(_index(parent, token, path, operation))
    if token not in parent:
        reason = f"Unable to remove nonexistent key: {token}: missing value"
        raise PointerError(f"error in {operation} for path: '{path}': {reason}")
    return parent.pop(token)


def is_within(path: str, other: str) -> bool:
    """Whether `path` leads to something inside of what `other` leads to."""
    return path.startswith(f"{other}/")


def _parent(root: Any, path: str, operation: str) -> tuple[Any, str]:
    if path and not path.startswith("/"):
        raise _missing(operation, path)
    *tokens, last = [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")]
    node = root
    for token in tokens:
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list):
            node = node[_index(node, token, path, operation)]
        else:
            raise _missing(operation, path)
    if not isinstance(node, dict | list):
        raise _missing(operation, path)
    return node, last


_MAX_DIGITS = 9


def _index(items: list[Any], token: str, path: str, operation: str, room: int = 0) -> int:
    """`room` is 1 where the place after the last item counts too."""
    digits = token.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
        reason = f"value was not a proper array index: '{token}'"
        raise PointerError(f"error in {operation} for path: '{path}': {reason}")
    index = int(token)
    if token.startswith("-"):
        index += len(items) + room
    if not 0 <= index < len(items) + room:
        reason = f"Unable to access invalid index: {token}: invalid index referenced"
        raise PointerError(f"error in {operation} for path: '{path}': {reason}")
    return index


def _missing(operation: str, path: str) -> PointerError:
    return PointerError(f'{operation} operation does not apply: doc is missing path: "{path}": missing value')
