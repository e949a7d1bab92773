from __future__ import annotations

import re
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from sampan.api import openapi_operations, resources, schema
from sampan.api.resources import Resource

METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def names() -> dict[tuple[str, str, str], str]:
    return {
        (group, version, kind): definition.name
        for resource in resources.all_resources()
        for api_version, kind_name in {
            (resource.api_version, resource.kind),
            (resource.api_version, resource.list_kind),
            *((f"{sub.group}/{sub.version}".lstrip("/"), sub.kind) for sub in resource.subresources),
        }
        if (definition := schema.find(api_version, kind_name)) is not None
        for group, version, kind in definition.kinds
    }


@pytest.fixture(scope="module")
def operations(names: dict[tuple[str, str, str], str]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): item[method]
        for resource in resources.all_resources()
        for path, item in openapi_operations.paths(resource, names).items()
        for method in METHODS
        if method in item
    }


def official_operations() -> dict[tuple[str, str], str]:
    """(path, method) -> name of the method of the official Python client, which is made from the document."""
    spec = util.find_spec("kubernetes")
    assert spec is not None
    assert spec.origin is not None
    found = {}
    call = re.compile(r"def (\w+)_with_http_info.*?call_api\(\s*'([^']+)', '(\w+)'", re.DOTALL)
    for source in (Path(spec.origin).parent / "client/api").glob("*_api.py"):
        for name, path, method in call.findall(source.read_text()):
            found[path, method.lower()] = name
    return found


def test_operations_are_those_of_the_official_client(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    official = official_operations()
    bases = {resource.base_path for resource in resources.all_resources()}
    expected = {
        (path, method)
        for path, method in official
        if any(path.startswith(f"{base}/") and path != f"{base}/" for base in bases)
        and not path.endswith("/proxy/{path}")
        and method in METHODS
    }
    assert operations.keys() == expected


def test_operation_ids_are_those_of_the_official_client(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    official = official_operations()
    group_version = re.compile(
        r"^(deleteCollection|create|list|read|replace|patch|delete|connect)[A-Za-z]+?V\d+(?:(?:alpha|beta)\d+)?"
    )
    for key, operation in operations.items():
        name = group_version.sub(r"\1", operation["operationId"])
        assert name.lower() == official[key].replace("_", ""), key


def test_operation_ids_are_unique(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(ids) == len(set(ids))


def test_path_parameters_are_declared(names: dict[tuple[str, str, str], str]) -> None:
    for resource in resources.all_resources():
        for path, item in openapi_operations.paths(resource, names).items():
            declared = [parameter["name"] for parameter in item.get("parameters", ())]
            assert sorted(re.findall(r"\{(\w+)\}", path)) == sorted(declared), path


def test_subresources_carry_their_own_kind(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    scale = operations["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", "patch"]
    assert scale["x-kubernetes-group-version-kind"] == {
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
    }
    log = operations["/api/v1/namespaces/{namespace}/pods/{name}/log", "get"]
    assert log["responses"]["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    exec_ = operations["/api/v1/namespaces/{namespace}/pods/{name}/exec", "post"]
    assert exec_["x-kubernetes-action"] == "connect"


def test_patches_of_other_kinds() -> None:
    widgets = Resource("example.com", "v1", "Widget", "widgets", "widget", True, ("patch",))
    kinds = {("example.com", "v1", "Widget"): "com.example.v1.Widget"}
    found = openapi_operations.paths(widgets, kinds, ("application/merge-patch+json",))
    patch = found["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    assert list(patch["requestBody"]["content"]) == ["application/merge-patch+json"]
    assert patch["operationId"] == "patchExampleComV1NamespacedWidget"
