from __future__ import annotations

from typing import Any

from sampan.api import openapi_document
from sampan.api.resources import Resource

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
WIDGETS = Resource("example.com", "v1", "Widget", "widgets", "widget", False, ("get", "delete"))


def reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_only_what_the_paths_lead_to_is_in_a_document() -> None:
    mark = [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    schemas: dict[str, Any] = {
        "Widget": {"properties": {"part": reference("Part")}, "x-kubernetes-group-version-kind": mark},
        "Part": {"properties": {"parts": {"items": reference("Part")}}},
        "Other": {"properties": {}},
        META + "Status": {},
        META + "DeleteOptions": {},
    }
    found = openapi_document.document([WIDGETS], schemas, "v1.35.0")
    assert found["openapi"] == "3.0.0"
    assert found["info"] == {"title": "Kubernetes", "version": "v1.35.0"}
    assert list(found["paths"]) == ["/apis/example.com/v1/widgets/{name}"]
    assert list(found["components"]["schemas"]) == sorted(
        ["Widget", "Part", META + "Status", META + "DeleteOptions"]
    )


def test_kinds() -> None:
    marks = [{"group": "", "version": "v1", "kind": "A"}, {"group": "apps", "version": "v1", "kind": "A"}]
    found = openapi_document.kinds({"X": {"x-kubernetes-group-version-kind": marks}, "Y": {}})
    assert found == {("", "v1", "A"): "X", ("apps", "v1", "A"): "X"}
