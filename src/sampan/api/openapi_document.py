"""One OpenAPI v3 document per group and version: its paths and every schema they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sampan.api import openapi_operations
from sampan.api.objects import Obj
from sampan.api.resources import Resource

_REFERENCE = "#/components/schemas/"
_SECURITY = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }
}


def document(resources: Iterable[Resource], schemas: Mapping[str, Obj], version: str) -> Obj:
    """The document of the resources of one group and version.

    `schemas` are all schemas there are by name; those of kinds carry `x-kubernetes-group-version-kind`.
    `version` is that of Kubernetes.
    """
    names = kinds(schemas)
    paths: Obj = {}
    for resource in sorted(resources, key=lambda resource: resource.plural):
        paths.update(openapi_operations.paths(resource, names))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": _reachable(paths, schemas), "securitySchemes": _SECURITY},
    }


def kinds(schemas: Mapping[str, Obj]) -> dict[tuple[str, str, str], str]:
    """(group, version, kind) -> name of the schema."""
    return {
        (mark["group"], mark["version"], mark["kind"]): name
        for name, schema in schemas.items()
        for mark in schema.get("x-kubernetes-group-version-kind", ())
    }


def _reachable(root: Any, schemas: Mapping[str, Obj]) -> Obj:
    found: set[str] = set()
    waiting = set(references(root))
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(references(schemas[name])) - found
    return {name: schemas[name] for name in sorted(found)}


def references(node: Any) -> Iterator[str]:
    """Names of the schemas that a document, or a part of one, refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REFERENCE)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)
