"""Request bodies as JSON values: JSON and YAML, with limits, and the keys that were said twice.

orjson reads a body in microseconds but keeps the last of two equal keys without a word. A body that is
equal to its own re-encoding cannot hold any; only the others are read again by a slower parser that sees
them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from sampan.api import errors

MAX_DEPTH = 200
_PARSE_ERROR = "couldn't get version/kind; json parse error: "
_ACCEPTED = ("application/json", "application/yaml")


# By identity of a dict: the dict itself (so that its identity stays its own) and the keys said more than
# once.
Doubled: TypeAlias = dict[int, tuple[dict[str, Any], list[str]]]


@dataclass(slots=True)
class Document:
    """A parsed body.

    `strict_errors` are mistakes that only strict decoding minds and that the parser has already worded
    (YAML); `doubled` are those that still need their path (JSON).
    """

    value: Any
    strict_errors: list[str] = field(default_factory=list)
    doubled: Doubled = field(default_factory=dict)

    def duplicates_in(self, value: Any) -> list[str]:
        """`duplicate field "spec.replicas"` for each in what is left of the document."""
        if not self.doubled:
            return []
        return [f'duplicate field "{path.removeprefix(".")}"' for path in self._paths(value, "")]

    def _paths(self, value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from self._paths(item, f"{path}.{key}")
            if doubled := self.doubled.get(id(value)):
                yield from (f"{path}.{key}" for key in doubled[1])
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._paths(item, f"{path}[{index}]")


def read(data: bytes, content_type: str, *, find_duplicates: bool = True) -> Document:
    """Raises Unreadable, or StatusError 415 for a format that is not read here."""
    match content_type.partition(";")[0].strip().lower():
        case "application/json" | "text/json" | "":
            return _read_json(data, find_duplicates)
        case "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml":
            # PyYAML is loaded by the first YAML body, not by every process.
            from sampan.api import yaml

            return Document(*yaml.read(data, max_depth=MAX_DEPTH))
        case _:
            raise errors.unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(_ACCEPTED)
            )


def read_json(data: bytes) -> Any:
    """A JSON value without any schema (patches); raises Unreadable."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise errors.Unreadable(_syntax(data, error)) from None
    check_depth(value, data.count(b"{") + data.count(b"["))
    return value


def _read_json(data: bytes, find_duplicates: bool) -> Document:
    try:
        value = read_json(data)
    except errors.Unreadable as error:
        raise errors.Unreadable(f"{_PARSE_ERROR}{error}") from None
    document = Document(value)
    if find_duplicates and orjson.dumps(value) != data.strip():
        document.value = json.loads(
            data, object_pairs_hook=_Pairs(document.doubled), parse_int=_integer, parse_float=orjson.loads
        )
    return document


def _integer(text: str) -> int | float:
    """As orjson has it: what exceeds 64 bits becomes a float."""
    return orjson.loads(text)


class _Pairs:
    """Builds dicts and notes the keys that come twice."""

    def __init__(self, doubled: Doubled) -> None:
        self._doubled = doubled

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            self._doubled[id(result)] = (result, [key for key, count in counts.items() if count > 1])
        return result


def check_depth(value: Any, brackets: int = MAX_DEPTH + 1) -> None:
    """Refuses what is nested so deep that walking it would exhaust the stack; `brackets` is an upper
    bound.
    """
    if brackets <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(child for child in item.values() if isinstance(child, dict | list))
            elif isinstance(item, list):
                inner.extend(child for child in item if isinstance(child, dict | list))
        if not inner:
            return
        level = inner
    raise errors.Unreadable("exceeded max depth")


# What orjson says -> where Go says the character stands.
_PLACES = (
    ("content after", "after top-level value"),
    ("',' or '}'", "after object key:value pair"),
    ("',' or ']'", "after array element"),
    ("':' after key", "after object key"),
    ("a string key", "looking for beginning of object key string"),
    ("control character", "in string literal"),
)
_QUOTED = {"'": r"\'", "\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\"}


def _syntax(data: bytes, error: orjson.JSONDecodeError) -> str:
    """The parser's complaint in Go's words."""
    text = data.decode(errors="replace")
    if "depth limit" in error.msg or "recursion" in error.msg:
        return "exceeded max depth"
    if error.pos >= len(text.rstrip()):
        return "unexpected end of JSON input"
    character = text[error.pos]
    place = next((go for ours, go in _PLACES if ours in error.msg), "looking for beginning of value")
    return f"invalid character '{_QUOTED.get(character, character)}' {place}"
