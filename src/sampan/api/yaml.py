"""YAML request bodies, read as upstream reads them, and no further.

Upstream turns YAML into JSON with a YAML 1.1 reader that knows `yes` and `0o17` but no dates and no base 60;
PyYAML's own resolver differs, so only its parser (events) is used and scalars are resolved here. The first
document counts. Events come one by one, so neither nesting nor aliases can exhaust stack or memory.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import yaml as pyyaml

from sampan.api.errors import Unreadable

MAX_NODES = 200_000

_Loader = getattr(pyyaml, "CSafeLoader", pyyaml.SafeLoader)
_LITERALS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0b[01]+|0o?[0-7]+|0x[0-9a-fA-F]+|0|[1-9][0-9]*)").fullmatch
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?").fullmatch
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)").fullmatch
_TAG = "tag:yaml.org,2002:"


def read(data: bytes, *, max_depth: int) -> tuple[Any, list[str]]:
    """The first document as a JSON value, and what strict decoding minds about it; raises Unreadable."""
    try:
        return _Builder(max_depth).build(data)
    except pyyaml.MarkedYAMLError as error:
        where = (
            f"line {error.problem_mark.line + 1}: " if error.problem_mark and error.problem_mark.line else ""
        )
        raise Unreadable(f"yaml: {where}{error.problem}") from None
    except (pyyaml.YAMLError, UnicodeDecodeError):
        raise Unreadable("yaml: control characters are not allowed") from None


class _Builder:
    """A stack of open collections; `_nodes` counts what has been built, contents of aliases included."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._nodes = 0
        # anchor -> (value, number of nodes in it)
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._strict: list[str] = []

    def build(self, data: bytes) -> tuple[Any, list[str]]:
        stack: list[_Open] = []
        for event in pyyaml.parse(data, Loader=_Loader):
            match event:
                case pyyaml.AliasEvent():
                    value = self._alias(event, len(stack))
                case pyyaml.ScalarEvent():
                    self._count(1)
                    value = _resolve(event)
                    self._remember(event.anchor, value, 1)
                case pyyaml.CollectionStartEvent():
                    self._count(1)
                    if len(stack) >= self._max_depth:
                        raise Unreadable("yaml: exceeded max depth")
                    stack.append(_Open(event, self._nodes))
                    continue
                case pyyaml.CollectionEndEvent():
                    closed = stack.pop()
                    value = closed.value
                    self._remember(closed.anchor, value, self._nodes - closed.nodes_before + 1)
                case pyyaml.DocumentEndEvent():
                    break
                case _:
                    continue
            if not stack:
                return value, self._strict_errors()
            line = event.start_mark.line + 1 if event.start_mark else 0
            if (problem := stack[-1].add(value, line)) is not None:
                self._strict.append(problem)
        return None, []

    def _alias(self, event: pyyaml.AliasEvent, depth: int) -> Any:
        if event.anchor not in self._anchors:
            raise Unreadable(f"yaml: unknown anchor '{event.anchor}' referenced")
        value, nodes = self._anchors[event.anchor]
        self._count(nodes)
        return _copy(value, self._max_depth - depth)

    def _remember(self, anchor: str | None, value: Any, nodes: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, nodes)

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise Unreadable("yaml: document contains excessive aliasing")

    def _strict_errors(self) -> list[str]:
        if not self._strict:
            return []
        return ["yaml: unmarshal errors:\n" + "\n".join(f"  {text}" for text in self._strict)]


class _Open:
    """A mapping or sequence that has not ended yet."""

    def __init__(self, event: pyyaml.CollectionStartEvent, nodes_before: int) -> None:
        self.anchor: str | None = event.anchor
        self.nodes_before = nodes_before
        self._mapping: dict[str, Any] | None = {} if isinstance(event, pyyaml.MappingStartEvent) else None
        self._sequence: list[Any] = []
        # Keys that a merge (`<<`) brought: said outright, they are overridden, not doubled.
        self._merged: set[str] = set()
        self._key: str | None = None
        self._key_line = 0

    @property
    def value(self) -> Any:
        return self._sequence if self._mapping is None else self._mapping

    def add(self, value: Any, line: int) -> str | None:
        """Answers upstream's complaint about a key that was there before."""
        if self._mapping is None:
            self._sequence.append(value)
            return None
        if self._key is None:
            self._key, self._key_line = (_MERGE if value is _MERGE else _key(value)), line
            return None
        key, self._key = self._key, None
        if key is _MERGE:
            self._merge(value)
            return None
        doubled = key in self._mapping and key not in self._merged
        self._mapping[key] = value
        self._merged.discard(key)
        return f'line {self._key_line}: key "{key}" already set in map' if doubled else None

    def _merge(self, value: Any) -> None:
        assert self._mapping is not None
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                raise Unreadable("yaml: map merge requires map or sequence of maps as the value")
            for key, item in source.items():
                if key not in self._mapping:
                    self._mapping[key] = item
                    self._merged.add(key)


# A `<<` key; an object of its own, since a quoted "<<" is an ordinary key.
_MERGE = "".join(["<", "<"])


def _key(value: Any) -> str:
    """JSON has only text for keys; what YAML resolved to something else is written out again."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    kind = "null" if value is None else "sequence" if isinstance(value, list) else "map"
    raise Unreadable(f"unsupported map key of type: {kind}")


def _resolve(event: pyyaml.ScalarEvent) -> Any:
    text: str = event.value
    tag: str | None = event.tag
    if tag is not None and tag != "!":
        return _tagged(tag.removeprefix(_TAG), text)
    if tag == "!" or (event.style is not None and event.style != "" and not event.implicit[0]):
        return text
    if text == "<<":
        return _MERGE
    if text in _LITERALS:
        return _LITERALS[text]
    return _number(text)


def _tagged(tag: str, text: str) -> Any:
    if tag in ("int", "float"):
        return _number(text)
    if tag in ("bool", "null"):
        return _LITERALS.get(text)
    if tag == "binary":
        try:
            return base64.b64decode(text, validate=False).decode()
        except ValueError:
            raise Unreadable("yaml: !!binary value contains invalid base64 data") from None
    return text


def _number(text: str) -> Any:
    """An int or float where the text is one, else the text."""
    bare = text.replace("_", "")
    if _INTEGER(bare):
        return _integer(bare)
    if _FLOAT(bare):
        number = float(bare)
        if number in (float("inf"), float("-inf")):
            raise Unreadable(f"json: unsupported value: {text}")
        return number
    if _INFINITE(text):
        raise Unreadable(f"json: unsupported value: {text}")
    return text


_MAX_DIGITS = 400


def _integer(text: str) -> int | float:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if len(digits) > _MAX_DIGITS:
        raise Unreadable("json: unsupported value: number out of range")
    if digits.startswith(("0x", "0b", "0o")):
        number = sign * int(digits, 0)
    elif digits.startswith("0"):
        number = sign * int(digits, 8)
    else:
        number = sign * int(digits)
    if -(2**63) <= number < 2**64:
        return number
    try:
        return float(number)
    except OverflowError:
        raise Unreadable("json: unsupported value: number out of range") from None


def _copy(value: Any, depth_left: int) -> Any:
    """An alias is a value of its own in JSON."""
    if not isinstance(value, dict | list):
        return value
    if depth_left <= 0:
        raise Unreadable("yaml: exceeded max depth")
    if isinstance(value, dict):
        return {key: _copy(item, depth_left - 1) for key, item in value.items()}
    return [_copy(item, depth_left - 1) for item in value]
