"""How a strategic merge patch is shown, and how it is said that a value of it does not fit its field.

Upstream turns such a patch into an object without any JSON in between, so its sentences are those of Go's
values and not of a decoder. Users meet them at every `kubectl apply` of an object that is there already.
"""

from __future__ import annotations

from typing import Any


def shown(value: Any) -> str:
    """A JSON value as Go prints it: `map[spec:map[ports:[map[port:80]] replicas:3]]`."""
    match value:
        case dict():
            return f"map[{' '.join(f'{key}:{shown(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(shown, value))}]"
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def unfit(value: Any, code: str, wanted: str) -> str:
    """Why `value` is nothing for a field of the schema's type `code`, `wanted` in Go."""
    kind = _kind(value)
    match code:
        case "object":
            return f"cannot restore struct from: {kind}"
        case "list" | "bytes":
            return f"cannot restore slice from {kind}"
        case "map":
            return f"cannot restore map from {kind}"
        case "string" if kind == "int64":
            # Go would make a character of the number.
            return f"cannot convert int64 to {wanted}"
        case "int32" | "int64" if kind in ("int64", "float64"):
            return f"cannot convert {kind} to {wanted}"
    return f"unrecognized type: {'string' if code == 'string' else wanted}"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    kinds = {str: "string", int: "int64", float: "float64", list: "slice"}
    return kinds.get(type(value), "map")
