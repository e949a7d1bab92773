"""Request bodies in Kubernetes' protobuf, turned into JSON; `kubectl create` and controllers send them.

Answers are JSON: every such client also accepts that. Field numbers and names stand in `data/protobuf.json`.
Source: reference/using-api/api-concepts, "Kubernetes Protobuf encoding"; protobuf.dev's encoding page.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import orjson

from sampan.api import clock, errors
from sampan.api.objects import Obj
from sampan.api.resources import DATA

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."
_PACKAGES = {"": "core", "internal.apiserver.k8s.io": "apiserverinternal"}
MAX_DEPTH = 100


class _Field(NamedTuple):
    """`repeated`, `keyed` (a map) and `inline` (its fields belong to the parent) say how it is held."""

    name: str
    type: str
    repeated: bool
    keyed: bool
    inline: bool
    drop_zero: bool


class _Broken(ValueError):
    """Not a message of its type."""


def to_json(data: bytes, wanted: tuple[str, str]) -> bytes:
    """The JSON of an enveloped object; `wanted` is its (apiVersion, kind) if it does not say. Raises 400."""
    if not data.startswith(_MAGIC):
        raise errors.bad_request("the body is not Kubernetes protobuf: it does not begin with k8s\\0")
    try:
        envelope = {number: value for number, _, value in _wire(data[len(_MAGIC) :])}
        names = {number: value for number, _, value in _wire(envelope.get(1, b""))}
        api_version = names.get(1, b"").decode() or wanted[0]
        kind = names.get(2, b"").decode() or wanted[1]
        message = _message_of(api_version, kind)
        if message is None:
            raise errors.unsupported_media_type(f"{api_version} {kind} cannot be read as protobuf; send JSON")
        obj = _message(message, envelope.get(2, b""), 0)
    except (_Broken, UnicodeDecodeError, AttributeError, TypeError, struct.error) as error:
        raise errors.bad_request(f"the body is not valid protobuf: {error}") from None
    return orjson.dumps({"kind": kind, "apiVersion": api_version, **obj})


@cache
def _table() -> dict[str, Any]:
    data = DATA.joinpath("protobuf.json").read_bytes()
    return orjson.loads(data)


@cache
def _index() -> dict[tuple[str, ...], str]:
    """Messages by the last three parts of their names: package, version, kind."""
    return {tuple(name.split(".")[-3:]): name for name in _table() if name}


def _message_of(api_version: str, kind: str) -> str | None:
    group, _, version = api_version.rpartition("/")
    package = _PACKAGES.get(group, group.partition(".")[0])
    return _index().get((package, version, kind)) or _index().get(("meta", "v1", kind))


@cache
def _fields(message: str) -> dict[int, _Field]:
    return {
        row[0]: _Field(
            name,
            row[1],
            row[2] == "repeated",
            row[2].startswith("map<"),
            "inline" in row[3:],
            "omitzero" in row[3:],
        )
        for name, row in _table()[message].items()
    }


def _message(message: str, data: bytes, depth: int) -> Obj:
    if depth > MAX_DEPTH:
        raise _Broken("nested too deeply")
    fields = _fields(message)
    obj: Obj = {}
    for number, wire_type, raw in _wire(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.keyed:
            entry = {part: value for part, _, value in _wire(raw)}
            key = entry.get(1, b"").decode()
            obj.setdefault(field.name, {})[key] = _value(field.type, entry.get(2, b""), depth)
            continue
        if field.repeated and wire_type == _BYTES and field.type in _NUMBERS:
            obj.setdefault(field.name, []).extend(_NUMBERS[field.type](item) for item in _packed(raw))
            continue
        value = _value(field.type, raw, depth)
        if field.repeated:
            obj.setdefault(field.name, []).append(value)
        elif field.inline:
            obj.update(value)
        elif value is not None and not (field.drop_zero and not value):
            obj[field.name] = value
    return obj


def _value(kind: str, raw: Any, depth: int) -> Any:
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar(raw)
    special = _SPECIAL.get(kind.rpartition(".")[2]) if _is_special(kind) else None
    if special is not None:
        return special(raw)
    return _message(kind, raw, depth + 1)


def _is_special(kind: str) -> bool:
    return kind.startswith(("k8s.io.apimachinery.", "k8s.io.apiextensions")) or kind.endswith(".ExtraValue")


def _wire(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(field number, wire type, raw value) of each field: an int for varints, bytes for all others."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, wire_type, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(data, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise _Broken(f"wire type {wire_type}")
        if position + size > end:
            raise _Broken("it ends too early")
        yield number, wire_type, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise _Broken("it ends too early")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _packed(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _signed(raw: int) -> int:
    raw &= (1 << 64) - 1
    return raw - (1 << 64) if raw >> 63 else raw


_NUMBERS: dict[str, Callable[[int], int]] = {"int32": _signed, "int64": _signed}
_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": lambda raw: raw.decode(),
    "bool": bool,
    "int32": _signed,
    "int64": _signed,
    "double": lambda raw: struct.unpack("<d", raw)[0],
    "bytes": lambda raw: base64.b64encode(raw).decode(),
}


def _parts(raw: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in _wire(raw)}


def _time(raw: bytes) -> str | None:
    parts = _parts(raw)
    if not parts:
        return None
    return clock.format_time(_signed(parts.get(1, 0)))


def _micro_time(raw: bytes) -> str | None:
    parts = _parts(raw)
    if not parts:
        return None
    return clock.format_micro_time(_signed(parts.get(1, 0)) + parts.get(2, 0) / 1e9)


def _int_or_string(raw: bytes) -> int | str:
    parts = _parts(raw)
    if parts.get(1, 0):
        return str(parts.get(3, b"").decode())
    return _signed(parts.get(2, 0))


def _duration(raw: bytes) -> str:
    return f"{_signed(_parts(raw).get(1, 0)) / 1e9:g}s"


def _raw_json(raw: bytes) -> Any:
    text = _parts(raw).get(1, b"")
    try:
        return orjson.loads(text) if text else None
    except ValueError as error:
        raise _Broken(str(error)) from None


_SPECIAL: dict[str, Callable[[bytes], Any]] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": lambda raw: _parts(raw).get(1, b"").decode() or "0",
    "IntOrString": _int_or_string,
    "Duration": _duration,
    "RawExtension": _raw_json,
    "FieldsV1": _raw_json,
    "JSON": _raw_json,
    "ExtraValue": lambda raw: [value.decode() for number, _, value in _wire(raw) if number == 1],
}
