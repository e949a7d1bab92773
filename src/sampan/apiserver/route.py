"""From URL and method to a verb on a resource. Source: reference/using-api/api-concepts, "Resource URIs"."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from sampan.api import errors, resources
from sampan.api.resources import Resource

CONNECT = frozenset(["exec", "attach", "portforward", "proxy"])
_PROXY = re.compile(
    r"(?P<prefix>/api/v1/(?:namespaces/(?P<namespace>[^/]+)/(?P<plural>pods|services)|nodes)/(?P<name>[^/]+)/proxy)"
    r"(?P<rest>(?:/.*)?)",
    re.DOTALL,
)
_NAMESPACE_PARTS = frozenset(["status", "finalize"])
_COLLECTION_VERBS = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}
_OBJECT_VERBS = {"GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Route(NamedTuple):
    """What a path names; `subresource` is "" for the object itself, `name` for the collection."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


class Proxied(NamedTuple):
    """A request that is meant for the server behind an object.

    `prefix` is the path up to `proxy`, `rest` what follows it, both as the client has escaped them.
    """

    route: Route
    prefix: str
    rest: str


def proxied(raw_path: str) -> Proxied | None:
    """Which Pod, Service or node is asked for by its `proxy` subresource; None for all other paths."""
    if "/proxy" not in raw_path or (match := _PROXY.fullmatch(raw_path)) is None:
        return None
    namespace, plural, name = (
        unquote(match["namespace"] or ""),
        match["plural"] or "nodes",
        unquote(match["name"]),
    )
    resource = resources.find("", "v1", plural)
    assert resource is not None
    return Proxied(Route(resource, namespace, name, "proxy"), match["prefix"], match["rest"])


@lru_cache(maxsize=1024)
def parse(path: str) -> Route | None:
    """The resource of a path, None for paths that are none. A trailing slash does not matter."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if not all(rest):
        return None
    namespace = ""
    if (
        rest[0] == "namespaces"
        and len(rest) >= 3
        and not (rest[2] in _NAMESPACE_PARTS and len(rest) == 3 and not group)
    ):
        namespace, rest = rest[1], rest[2:]
    resource = resources.find(group, version, rest[0])
    if resource is None or (namespace and not resource.namespaced) or len(rest) > 3:
        return None
    name = rest[1] if len(rest) > 1 else ""
    if name and resource.namespaced and not namespace:
        return None
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and ((part := resource.subresource(subresource)) is None or not part.served):
        return None
    return Route(resource, namespace, name, subresource)


def verb_of(method: str, route: Route, watch: bool) -> str:
    """The API verb; raises 405 where the resource does not have it."""
    if route.subresource:
        verb = "create" if method == "POST" else _OBJECT_VERBS.get(method, "")
        part = route.resource.subresource(route.subresource)
        if part is None or verb not in part.verbs:
            raise errors.method_not_allowed()
        return "connect" if route.subresource in CONNECT else verb
    verb = (_OBJECT_VERBS if route.name else _COLLECTION_VERBS).get(method, "")
    if watch and verb in ("get", "list"):
        verb = "watch"
    needs_namespace = verb in ("create", "deletecollection") and route.resource.namespaced
    if verb not in route.resource.verbs or (needs_namespace and not route.namespace):
        raise errors.method_not_allowed()
    return verb
