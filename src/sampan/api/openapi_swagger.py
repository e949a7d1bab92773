"""The OpenAPI v2 ("Swagger") document: all served group versions in one, rewritten from their v3 documents.

What differs in v2: a request body is a parameter, media types belong to the operation, the type of a
parameter stands beside its name, `oneOf` does not exist, and a reference may have siblings. As upstream's
document, this one leaves out the defaults of fields.

Source: https://swagger.io/specification/v2/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sampan.api.objects import Obj

_V3_REFERENCE, _V2_REFERENCE = "#/components/schemas/", "#/definitions/"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def document(documents: Iterable[Obj]) -> Obj:
    """One document of the paths and schemas of v3 `documents` (see `openapi_document`), of which there is
    at least one."""
    sources = list(documents)
    paths: Obj = {}
    schemas: Obj = {}
    for source in sources:
        paths.update(source["paths"])
        schemas.update(source["components"]["schemas"])
    security = sources[0]["components"]["securitySchemes"]
    return {
        "swagger": "2.0",
        "info": sources[0]["info"],
        "paths": {path: path_item(item) for path, item in sorted(paths.items())},
        "definitions": {name: schema(value) for name, value in sorted(schemas.items())},
        "securityDefinitions": security,
        "security": [{name: [] for name in security}],
    }


def schema(value: Mapping[str, Any]) -> Obj:
    """A v3 schema as v2 writes it."""
    result: Obj = {}
    for key, item in value.items():
        match key:
            case "properties":
                result[key] = {name: schema(field) for name, field in item.items()}
            case "items" | "additionalProperties" if isinstance(item, dict):
                result[key] = schema(item)
            case "allOf":
                # v3 wraps a reference only to give it siblings.
                (wrapped,) = item
                result |= schema(wrapped)
            case "oneOf":
                # Integer or string, number or string: v2 has one type for both, and clients expect this one.
                result["type"] = "string"
            case "$ref":
                result[key] = item.replace(_V3_REFERENCE, _V2_REFERENCE)
            case "default":
                pass
            case _:
                result[key] = item
    return result


def path_item(item: Mapping[str, Any]) -> Obj:
    """A v3 path item as v2 writes it."""
    result: Obj = {method: _operation(item[method]) for method in _METHODS if method in item}
    if "parameters" in item:
        result["parameters"] = [_parameter(parameter) for parameter in item["parameters"]]
    return result


def _operation(operation: Mapping[str, Any]) -> Obj:
    result = dict(operation)
    parameters = [_parameter(parameter) for parameter in operation.get("parameters", ())]
    body = result.pop("requestBody", None)
    if body is not None:
        result["consumes"] = list(body["content"])
        parameters.insert(0, _body_parameter(body))
    answers = operation["responses"].items()
    result["produces"] = list(dict.fromkeys(media for _, answer in answers for media in answer["content"]))
    if parameters:
        result["parameters"] = parameters
    result["responses"] = {code: _response(answer) for code, answer in answers}
    result["schemes"] = ["https"]
    return result


def _parameter(parameter: Mapping[str, Any]) -> Obj:
    return {**{key: value for key, value in parameter.items() if key != "schema"}, **parameter["schema"]}


def _body_parameter(body: Mapping[str, Any]) -> Obj:
    result: Obj = {"name": "body", "in": "body", "schema": _content_schema(body["content"])}
    return {**result, "required": True} if body.get("required") else result


def _response(answer: Mapping[str, Any]) -> Obj:
    return {"description": answer["description"], "schema": _content_schema(answer["content"])}


def _content_schema(content: Mapping[str, Any]) -> Obj:
    """Every media type of a body has the same schema here."""
    return schema(next(iter(content.values()))["schema"])
