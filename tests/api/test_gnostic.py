from __future__ import annotations

import struct
from typing import Any

import orjson
import pytest

from sampan.api import gnostic
from sampan.api.objects import Obj


def read(data: bytes) -> dict[int, list[Any]]:
    """The fields of one message by number, each with all its values; messages and text stay bytes."""
    found: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            value: Any = varint()
        elif wire == 1:
            (value,) = struct.unpack_from("<d", data, at)
            at += 8
        else:
            assert wire == 2
            size = varint()
            value = data[at : at + size]
            assert len(value) == size
            at += size
        found.setdefault(number, []).append(value)
    return found


def follow(data: bytes, *numbers: int) -> Any:
    """The value that a path of field numbers leads to, the first of each."""
    value: Any = data
    for number in numbers:
        value = read(value)[number][0]
    return value


def schema(value: Obj) -> bytes:
    """The Schema message of the only definition of a document."""
    found: bytes = follow(gnostic.encode({"definitions": {"a": value}}), 9, 1, 2)
    return found


def operation(value: Obj) -> bytes:
    """The Operation message of the only path's GET."""
    found: bytes = follow(gnostic.encode({"paths": {"/a": {"get": value}}}), 8, 2, 2, 2)
    return found


def test_the_very_bytes() -> None:
    document = {"swagger": "2.0", "definitions": {"P": {"type": "object"}}}
    inner = b"\x0a\x01P" + b"\x12\x0b" + b"\xb2\x01\x08" + b"\x0a\x06object"
    assert gnostic.encode(document) == b"\x0a\x032.0" + b"\x4a\x12" + b"\x0a\x10" + inner


@pytest.mark.parametrize(
    ("value", "numbers", "expected"),
    [
        ({"$ref": "#/definitions/B"}, (1,), b"#/definitions/B"),
        ({"description": "Größe"}, (4,), "Größe".encode()),
        ({"default": {}}, (5, 2), b"{}"),
        ({"minimum": 0.5}, (9,), 0.5),
        ({"maxLength": 300}, (11,), 300),
        ({"minLength": -1}, (12,), 2**64 - 1),
        ({"required": ["a", ""]}, (19,), b"a"),
        ({"enum": [1]}, (20, 2), b"1"),
        ({"additionalProperties": {"type": "string"}}, (21, 1, 22, 1), b"string"),
        ({"additionalProperties": False}, (21, 2), 0),
        ({"items": {"type": "string"}}, (23, 1, 22, 1), b"string"),
        ({"allOf": [{"title": "t"}]}, (24, 3), b"t"),
        ({"properties": {"f": {"format": "int32"}}}, (25, 1, 1), b"f"),
        ({"properties": {"f": {"format": "int32"}}}, (25, 1, 2, 2), b"int32"),
    ],
)
def test_where_each_part_of_a_schema_goes(value: Obj, numbers: tuple[int, ...], expected: Any) -> None:
    assert follow(schema(value), *numbers) == expected


def test_a_repeated_field_keeps_its_empty_values() -> None:
    assert read(schema({"required": ["a", ""]}))[19] == [b"a", b""]


def test_what_says_nothing_takes_no_bytes() -> None:
    assert (
        schema({"description": "", "uniqueItems": False, "maxLength": 0, "minimum": 0, "required": []}) == b""
    )


def test_a_vendor_extension_is_a_name_with_text_in_yaml() -> None:
    mark = [{"group": "", "version": "v1", "kind": "Pod"}]
    extensions = read(schema({"x-kubernetes-group-version-kind": mark, "x-kubernetes-list-type": "map"}))[31]
    texts = {follow(one, 1).decode(): orjson.loads(follow(one, 2, 2)) for one in extensions}
    assert texts == {"x-kubernetes-group-version-kind": mark, "x-kubernetes-list-type": "map"}


@pytest.mark.parametrize(
    ("parameter", "numbers", "expected"),
    [
        ({"name": "body", "in": "body", "schema": {"title": "t"}}, (1, 1, 5, 3), b"t"),
        ({"name": "h", "in": "header", "type": "string"}, (1, 2, 1, 5), b"string"),
        ({"name": "watch", "in": "query", "type": "boolean"}, (1, 2, 3, 4), b"watch"),
        ({"name": "watch", "in": "query", "uniqueItems": True}, (1, 2, 3, 20), 1),
        ({"name": "name", "in": "path", "required": True}, (1, 2, 4, 1), 1),
        ({"name": "name", "in": "path", "type": "string"}, (1, 2, 4, 5), b"string"),
        ({"$ref": "#/parameters/p"}, (2, 1), b"#/parameters/p"),
    ],
)
def test_a_parameter_is_of_the_type_that_its_place_says(
    parameter: Obj, numbers: tuple[int, ...], expected: Any
) -> None:
    assert follow(operation({"parameters": [parameter]}), 8, *numbers) == expected


def test_answers_stand_by_their_codes() -> None:
    answers = {"200": {"description": "OK", "schema": {"title": "t"}}, "404": {"$ref": "#/responses/r"}}
    ok, missing = read(follow(operation({"responses": answers}), 9))[1]
    assert (follow(ok, 1), follow(ok, 2, 1, 1), follow(ok, 2, 1, 2, 1, 3)) == (b"200", b"OK", b"t")
    assert (follow(missing, 1), follow(missing, 2, 2, 1)) == (b"404", b"#/responses/r")


def test_extensions_among_paths_are_no_paths() -> None:
    paths = read(follow(gnostic.encode({"paths": {"x-note": 1, "/a": {}}}), 8))
    assert (follow(paths[1][0], 1), follow(paths[1][0], 2, 2)) == (b"x-note", b"1")
    assert [follow(path, 1) for path in paths[2]] == [b"/a"]


def test_how_a_client_may_authenticate() -> None:
    data = gnostic.encode(
        {
            "securityDefinitions": {
                "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}
            },
            "security": [{"BearerToken": []}],
        }
    )
    assert (follow(data, 13, 1, 1), follow(data, 13, 1, 2, 2, 2)) == (b"BearerToken", b"authorization")
    assert follow(data, 12, 1, 1) == b"BearerToken"


@pytest.mark.parametrize(
    "document",
    [
        {"openapi": "3.0.0"},
        {"definitions": {"a": {"oneOf": []}}},
        {"paths": {"/a": {"get": {"parameters": [{"name": "c", "in": "cookie"}]}}}},
        {"securityDefinitions": {"o": {"type": "oauth2"}}},
    ],
)
def test_no_part_is_lost_unseen(document: Obj) -> None:
    with pytest.raises(ValueError, match=r"no (field|parameter|security definition)"):
        gnostic.encode(document)
