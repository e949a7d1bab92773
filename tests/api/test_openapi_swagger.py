from __future__ import annotations

from typing import Any

import pytest

from sampan.api import openapi_document, openapi_swagger
from sampan.api.objects import Obj
from sampan.api.resources import PODS

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
THING = {"$ref": "#/components/schemas/Thing"}


@pytest.mark.parametrize(
    ("v3", "v2"),
    [
        ({"type": "string", "default": "TCP"}, {"type": "string"}),
        (THING, {"$ref": "#/definitions/Thing"}),
        (
            {"description": "d", "default": {}, "allOf": [THING]},
            {"description": "d", "$ref": "#/definitions/Thing"},
        ),
        ({"format": "int-or-string", "oneOf": [{}, {}]}, {"format": "int-or-string", "type": "string"}),
        (
            {"type": "array", "items": {"default": "", **THING}, "x-kubernetes-list-type": "set"},
            {"type": "array", "items": {"$ref": "#/definitions/Thing"}, "x-kubernetes-list-type": "set"},
        ),
        ({"additionalProperties": THING}, {"additionalProperties": {"$ref": "#/definitions/Thing"}}),
        ({"additionalProperties": True}, {"additionalProperties": True}),
        # Fields may have the names of keywords.
        (
            {"properties": {"default": THING, "items": {"type": "array", "items": THING}}},
            {
                "properties": {
                    "default": {"$ref": "#/definitions/Thing"},
                    "items": {"type": "array", "items": {"$ref": "#/definitions/Thing"}},
                }
            },
        ),
    ],
)
def test_schemas(v3: Obj, v2: Obj) -> None:
    assert openapi_swagger.schema(v3) == v2


def pods() -> dict[str, Any]:
    """The v2 paths of Pods."""
    schemas: dict[str, Any] = {META + name: {} for name in ("Status", "DeleteOptions", "Patch")}
    for kind in ("Pod", "PodList"):
        mark = [{"group": "", "version": "v1", "kind": kind}]
        schemas[kind] = {"x-kubernetes-group-version-kind": mark}
    document = openapi_document.document([PODS], schemas, "v1.35.0")
    paths: dict[str, Any] = openapi_swagger.document([document])["paths"]
    return paths


def test_a_parameter_has_its_type_beside_its_name() -> None:
    item = pods()["/api/v1/namespaces/{namespace}/pods/{name}"]
    assert item["parameters"] == [
        {"name": name, "in": "path", "required": True, "type": "string", "uniqueItems": True}
        for name in ("name", "namespace")
    ]


def test_a_body_is_the_first_parameter() -> None:
    patch = pods()["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["parameters"][0] == {
        "name": "body",
        "in": "body",
        "required": True,
        "schema": {"$ref": f"#/definitions/{META}Patch"},
    }
    assert "requestBody" not in patch
    assert "application/strategic-merge-patch+json" in patch["consumes"]
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Pod"


def test_media_types_of_answers_belong_to_the_operation() -> None:
    found = pods()["/api/v1/pods"]["get"]
    assert found["produces"] == ["application/json", "application/json;stream=watch"]
    assert found["responses"] == {
        "200": {"description": "OK", "schema": {"$ref": "#/definitions/PodList"}},
    }


def test_documents_are_one_in_the_end() -> None:
    parts: list[Obj] = [
        {
            "info": {"title": "Kubernetes", "version": "v1.35.0"},
            "paths": {f"/{name}": {}},
            "components": {"schemas": {name: {}, "Both": {}}, "securitySchemes": {"BearerToken": {}}},
        }
        for name in ("B", "A")
    ]
    assert openapi_swagger.document(parts) == {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.35.0"},
        "paths": {"/A": {}, "/B": {}},
        "definitions": {"A": {}, "B": {}, "Both": {}},
        "securityDefinitions": {"BearerToken": {}},
        "security": [{"BearerToken": []}],
    }
