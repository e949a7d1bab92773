"""An OpenAPI v2 document as protobuf, the only form of it that client-go reads.

The messages are those of the public `openapi.v2` package that gnostic defines (OpenAPIv2.proto, root message
`Document`). They follow the JSON document but for three things: a JSON object with free keys is a list of
(name, value) messages, a value that may be of several types sits in a message with one field per type, and
vendor extensions and other free values are YAML text, of which JSON is a subset.

Only what documents of Kubernetes can hold is known; anything else raises ValueError, so that no document
loses a part unseen.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from sampan.api.objects import Obj

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# What client-go asks for; no valid media type because of the `@`, hence answered as the one above.
MEDIA_TYPE_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

# Writes a value as the field of that number, key included; nothing for what protobuf takes as absent.
Writer = Callable[[int, Any], bytes]
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_EXTENSION = "x-"


def encode(document: Obj) -> bytes:
    """`openapi.v2.Document` of a Swagger 2 document; ValueError when a part of it has no field."""
    return _fields("Document", document)


# --- scalars ---


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF  # negative numbers take ten bytes, as two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _string(number: int, value: str) -> bytes:
    return _bytes(number, value.encode()) if value else b""


def _strings(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_bytes(number, value.encode()) for value in values)


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value) if value else b""


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | _FIXED64) + struct.pack("<d", value) if value else b""


# --- messages ---


def _any(number: int, value: Any) -> bytes:
    return _bytes(number, _string(2, orjson.dumps(value).decode()))


def _anys(number: int, values: Iterable[Any]) -> bytes:
    return b"".join(_any(number, value) for value in values)


def _message(name: str) -> Writer:
    return lambda number, value: _bytes(number, _fields(name, value))


def _messages(name: str) -> Writer:
    return lambda number, values: b"".join(_bytes(number, _fields(name, value)) for value in values)


def _named(number: int, name: str, value: bytes) -> bytes:
    """A (name, value) message; `value` is written as its field 2."""
    return _bytes(number, _string(1, name) + value)


def _map(write: Writer) -> Writer:
    """A message that is nothing but a list of (name, value) in its field 1."""
    return lambda number, values: _bytes(
        number, b"".join(_named(1, name, write(2, value)) for name, value in values.items())
    )


def _open_map(item_number: int, write: Writer, extension_number: int) -> Writer:
    """A list of (name, value) with vendor extensions among the names."""

    def written(number: int, values: Mapping[str, Any]) -> bytes:
        parts = [
            _named(extension_number, name, _any(2, value))
            if name.startswith(_EXTENSION)
            else _named(item_number, name, write(2, value))
            for name, value in values.items()
        ]
        return _bytes(number, b"".join(parts))

    return written


def _fields(message: str, value: Mapping[str, Any]) -> bytes:
    table = _MESSAGES[message]
    parts = []
    for key, item in value.items():
        extension = key.startswith(_EXTENSION)
        field = table.get(_EXTENSION if extension else key)
        if field is None:
            raise ValueError(f"{message} has no field for {key!r}")
        number, write = field
        parts.append(_named(number, key, write(2, item)) if extension else write(number, item))
    return b"".join(parts)


# --- one of several types ---


def _type(number: int, value: str | list[str]) -> bytes:
    return _bytes(number, _strings(1, [value] if isinstance(value, str) else value))


def _items(number: int, value: Obj | list[Obj]) -> bytes:
    return _bytes(number, _messages("Schema")(1, [value] if isinstance(value, dict) else value))


def _additional_properties(number: int, value: Obj | bool) -> bytes:
    if isinstance(value, bool):
        # Spelled out: a false that protobuf leaves away would say nothing at all.
        return _bytes(number, _varint(2 << 3 | _VARINT) + _varint(value))
    return _bytes(number, _message("Schema")(1, value))


# Where a parameter is -> the field and message of NonBodyParameter.
_PLACES = {
    "header": (1, "HeaderParameterSubSchema"),
    "query": (3, "QueryParameterSubSchema"),
    "path": (4, "PathParameterSubSchema"),
}


def _parameter(number: int, value: Obj) -> bytes:
    """Parameter: of the body, or NonBodyParameter."""
    if value.get("in") == "body":
        return _bytes(number, _message("BodyParameter")(1, value))
    place = _PLACES.get(value.get("in", ""))
    if place is None:
        raise ValueError(f"no parameter can be in {value.get('in')!r}")
    return _bytes(number, _bytes(2, _message(place[1])(place[0], value)))


def _parameters(number: int, values: Iterable[Obj]) -> bytes:
    return b"".join(_or_reference(number, _parameter, value) for value in values)


def _or_reference(number: int, write: Writer, value: Obj) -> bytes:
    """ParametersItem and ResponseValue: the thing itself in field 1, or where it is in field 2."""
    if "$ref" in value:
        return _bytes(number, _message("JsonReference")(2, value))
    return _bytes(number, write(1, value))


def _response(number: int, value: Obj) -> bytes:
    return _or_reference(number, _message("Response"), value)


def _response_schema(number: int, value: Obj) -> bytes:
    return _bytes(number, _message("Schema")(1, value))


def _security_definition(number: int, value: Obj) -> bytes:
    kinds = {"basic": (1, "BasicAuthenticationSecurity"), "apiKey": (2, "ApiKeySecurity")}
    if value["type"] not in kinds:
        raise ValueError(f"no security definition of type {value['type']!r}")
    field, name = kinds[value["type"]]
    return _bytes(number, _message(name)(field, value))


def _security(number: int, values: Iterable[Obj]) -> bytes:
    """SecurityRequirement, repeated: names with their scopes."""
    write = _map(lambda field, scopes: _bytes(field, _strings(1, scopes)))
    return b"".join(write(number, value) for value in values)


# --- the messages: JSON key -> (field number, writer); "x-" stands for all vendor extensions ---

_Message = dict[str, tuple[int, Writer]]


def _numbered(first: int, fields: Mapping[str, Writer]) -> _Message:
    return {key: (number, write) for number, (key, write) in enumerate(fields.items(), first)}


# The constraints that every description of a simple value ends with, in this order.
_LIMITS: dict[str, Writer] = {
    "default": _any,
    "maximum": _double,
    "exclusiveMaximum": _int,
    "minimum": _double,
    "exclusiveMinimum": _int,
    "maxLength": _int,
    "minLength": _int,
    "pattern": _string,
    "maxItems": _int,
    "minItems": _int,
    "uniqueItems": _int,
    "enum": _anys,
    "multipleOf": _double,
}
_SIMPLE: dict[str, Writer] = {
    "type": _string,
    "format": _string,
    "items": _message("PrimitivesItems"),
    "collectionFormat": _string,
    **_LIMITS,
    _EXTENSION: _any,
}
_WHERE: dict[str, Writer] = {"required": _int, "in": _string, "description": _string, "name": _string}

_MESSAGES: dict[str, _Message] = {
    "Document": {
        "swagger": (1, _string),
        "info": (2, _message("Info")),
        "host": (3, _string),
        "basePath": (4, _string),
        "schemes": (5, _strings),
        "consumes": (6, _strings),
        "produces": (7, _strings),
        "paths": (8, _open_map(2, _message("PathItem"), 1)),
        "definitions": (9, _map(_message("Schema"))),
        "parameters": (10, _map(_parameter)),
        "responses": (11, _map(_message("Response"))),
        "security": (12, _security),
        "securityDefinitions": (13, _map(_security_definition)),
        "tags": (14, _messages("Tag")),
        "externalDocs": (15, _message("ExternalDocs")),
        _EXTENSION: (16, _any),
    },
    "Info": _numbered(
        1,
        {
            "title": _string,
            "version": _string,
            "description": _string,
            "termsOfService": _string,
            "contact": _message("Contact"),
            "license": _message("License"),
            _EXTENSION: _any,
        },
    ),
    "Contact": _numbered(1, {"name": _string, "url": _string, "email": _string, _EXTENSION: _any}),
    "License": _numbered(1, {"name": _string, "url": _string, _EXTENSION: _any}),
    "Tag": _numbered(
        1,
        {"name": _string, "description": _string, "externalDocs": _message("ExternalDocs"), _EXTENSION: _any},
    ),
    "ExternalDocs": _numbered(1, {"description": _string, "url": _string, _EXTENSION: _any}),
    "JsonReference": _numbered(1, {"$ref": _string, "description": _string}),
    "PathItem": _numbered(
        1,
        {
            "$ref": _string,
            **dict.fromkeys(
                ("get", "put", "post", "delete", "options", "head", "patch"), _message("Operation")
            ),
            "parameters": _parameters,
            _EXTENSION: _any,
        },
    ),
    "Operation": _numbered(
        1,
        {
            "tags": _strings,
            "summary": _string,
            "description": _string,
            "externalDocs": _message("ExternalDocs"),
            "operationId": _string,
            "produces": _strings,
            "consumes": _strings,
            "parameters": _parameters,
            "responses": _open_map(1, _response, 2),
            "schemes": _strings,
            "deprecated": _int,
            "security": _security,
            _EXTENSION: _any,
        },
    ),
    # Headers and examples, fields 3 and 4, occur in no document of Kubernetes.
    "Response": {"description": (1, _string), "schema": (2, _response_schema), _EXTENSION: (5, _any)},
    "BodyParameter": _numbered(
        1,
        {
            "description": _string,
            "name": _string,
            "in": _string,
            "required": _int,
            "schema": _message("Schema"),
            _EXTENSION: _any,
        },
    ),
    "HeaderParameterSubSchema": _numbered(1, {**_WHERE, **_SIMPLE}),
    "QueryParameterSubSchema": _numbered(1, {**_WHERE, "allowEmptyValue": _int, **_SIMPLE}),
    "PathParameterSubSchema": _numbered(1, {**_WHERE, **_SIMPLE}),
    "PrimitivesItems": _numbered(1, _SIMPLE),
    "Schema": _numbered(
        1,
        {
            "$ref": _string,
            "format": _string,
            "title": _string,
            "description": _string,
            "default": _any,
            "multipleOf": _double,
            "maximum": _double,
            "exclusiveMaximum": _int,
            "minimum": _double,
            "exclusiveMinimum": _int,
            "maxLength": _int,
            "minLength": _int,
            "pattern": _string,
            "maxItems": _int,
            "minItems": _int,
            "uniqueItems": _int,
            "maxProperties": _int,
            "minProperties": _int,
            "required": _strings,
            "enum": _anys,
            "additionalProperties": _additional_properties,
            "type": _type,
            "items": _items,
            "allOf": _messages("Schema"),
            "properties": _map(_message("Schema")),
            "discriminator": _string,
            "readOnly": _int,
            "xml": _message("Xml"),
            "externalDocs": _message("ExternalDocs"),
            "example": _any,
            _EXTENSION: _any,
        },
    ),
    "Xml": _numbered(
        1,
        {
            "name": _string,
            "namespace": _string,
            "prefix": _string,
            "attribute": _int,
            "wrapped": _int,
            _EXTENSION: _any,
        },
    ),
    "BasicAuthenticationSecurity": _numbered(1, {"type": _string, "description": _string, _EXTENSION: _any}),
    "ApiKeySecurity": _numbered(
        1, {"type": _string, "name": _string, "in": _string, "description": _string, _EXTENSION: _any}
    ),
}
