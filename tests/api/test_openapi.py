from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from sampan.api import gnostic, openapi, openapi_document, openapi_swagger, resources


def document(path: str) -> dict[str, Any]:
    data = openapi.document(path)
    assert data is not None
    found: dict[str, Any] = orjson.loads(data)
    return found


def test_index_leads_to_every_served_version_by_digest() -> None:
    paths = orjson.loads(openapi.index())["paths"]
    served = {entry.base_path.removeprefix("/") for entry in resources.all_resources() if entry.served}
    assert paths.keys() == served
    for path, entry in paths.items():
        assert entry["serverRelativeURL"] == f"/openapi/v3/{path}?hash={openapi.digest(path)}"


def test_a_digest_is_that_of_the_document() -> None:
    for path in ("api/v1", "apis/apps/v1"):
        data = openapi.document(path)
        assert data is not None
        assert hashlib.sha256(data).hexdigest().upper() == openapi.digest(path)


@pytest.mark.parametrize(
    "path", ["", "api", "apis/apps/v2", "apis/resource.k8s.io/v1beta1", "../index", "index.json"]
)
def test_there_is_no_other_document(path: str) -> None:
    assert openapi.document(path) is None


def test_every_reference_in_a_document_is_answered_there() -> None:
    for path in openapi.served():
        found = document(path)
        schemas = found["components"]["schemas"]
        assert set(openapi_document.references(found)) == schemas.keys()


def test_what_kubectl_needs_to_apply_a_deployment() -> None:
    found = document("apis/apps/v1")
    patch = found["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "version": "v1",
        "kind": "Deployment",
    }
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    schemas = found["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"] == [
        {"group": "apps", "kind": "Deployment", "version": "v1"}
    ]


def test_schemas_read_as_in_a_v3_document() -> None:
    schemas = document("api/v1")["components"]["schemas"]
    port = schemas["io.k8s.api.core.v1.ServicePort"]
    assert port["properties"]["protocol"]["default"] == "TCP"
    assert port["properties"]["port"]["type"] == "integer"
    assert port["properties"]["targetPort"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}
    ]
    text = orjson.dumps(schemas)
    assert b"$defs" not in text
    assert b'"null"' not in text


def test_the_documents_are_those_that_the_code_makes() -> None:
    """Fails after a change of the paths' code or of the resource table: run scripts/build-data then."""
    path = "apis/apps/v1"
    made_ahead = document(path)
    rows = [entry for entry in resources.all_resources() if entry.base_path == f"/{path}"]
    made = openapi_document.document(rows, made_ahead["components"]["schemas"], made_ahead["info"]["version"])
    assert made == made_ahead


def test_swagger_is_all_that_is_served_in_one_document() -> None:
    """Fails after a change of what it is made from: run scripts/build-data then."""
    made = openapi_swagger.document(document(path) for path in sorted(openapi.served()))
    assert orjson.loads(openapi.swagger("json")) == made
    assert openapi.swagger("pb") == gnostic.encode(made)
    for form in ("json", "pb"):
        assert hashlib.sha256(openapi.swagger(form)).hexdigest().upper() == openapi.swagger_digest(form)


def test_swagger_refers_to_its_own_definitions_only() -> None:
    found = orjson.loads(openapi.swagger("json"))
    referred = {name.removeprefix("#/definitions/") for name in openapi_document.references(found)}
    assert referred <= found["definitions"].keys()
    assert "io.k8s.api.core.v1.Pod" in referred
