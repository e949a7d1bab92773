"""The paths of an OpenAPI v3 document: what can be done with a resource, derived from the resource table.

Clients read more from it than documentation: kubectl takes a PATCH operation that carries a kind's
`x-kubernetes-group-version-kind` and the query parameter `fieldValidation` as the sign that the server
validates fields, and its request media types as the ways a kind can be patched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sampan.api.objects import Obj
from sampan.api.request import JSON, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from sampan.api.resources import Resource, Subresource

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
ANY_BODY = "*/*"
WATCH_STREAM = "application/json;stream=watch"

# (group, version, kind) -> name of its schema.
SchemaNames = Mapping[tuple[str, str, str], str]


@dataclass(frozen=True, slots=True)
class _Verb:
    """How one verb of the resource table reads in a document."""

    method: str
    action: str
    id_prefix: str
    description: str
    parameters: tuple[str, ...] = ()
    body: str = ""
    answers: tuple[tuple[int, str, str], ...] = ((200, "OK", "kind"),)


_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_SELECT = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_OK, _CREATED, _ACCEPTED = (200, "OK", "kind"), (201, "Created", "kind"), (202, "Accepted", "kind")
_LIST = (200, "OK", "list")
_STATUS, _STATUS_ACCEPTED = (200, "OK", "status"), (202, "Accepted", "status")

_COLLECTION_VERBS = {
    "list": _Verb("get", "list", "list", "list or watch objects of kind {kind}", _SELECT, "", (_LIST,)),
    "create": _Verb("post", "post", "create", "create a {kind}", _WRITE, "kind", (_OK, _CREATED, _ACCEPTED)),
    "deletecollection": _Verb(
        "delete",
        "deletecollection",
        "deleteCollection",
        "delete collection of {kind}",
        tuple(sorted({*_SELECT, *_DELETE} - {"watch", "allowWatchBookmarks"})),
        "options",
        (_STATUS,),
    ),
}
_OBJECT_VERBS = {
    "get": _Verb("get", "get", "read", "read the specified {kind}"),
    "update": _Verb("put", "put", "replace", "replace the specified {kind}", _WRITE, "kind", (_OK, _CREATED)),
    "patch": _Verb(
        "patch",
        "patch",
        "patch",
        "partially update the specified {kind}",
        (*_WRITE, "force"),
        "patch",
        (_OK, _CREATED),
    ),
    "delete": _Verb(
        "delete", "delete", "delete", "delete a {kind}", _DELETE, "options", (_STATUS, _STATUS_ACCEPTED)
    ),
}
_CREATE_SUBRESOURCE = _Verb(
    "post", "post", "create", "create {kind} of", _WRITE, "kind", (_OK, _CREATED, _ACCEPTED)
)
_CONNECT = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}

_PARAMETERS: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": ("boolean", "Ask for BOOKMARK events, which carry only a resource version."),
    "continue": ("string", "Where the next page of a list begins, as the page before said."),
    "dryRun": ("string", "`All`: do everything but store the result."),
    "fieldManager": ("string", "Who makes the change; at most 128 printable characters."),
    "fieldSelector": ("string", "Only objects with these field values."),
    "fieldValidation": ("string", "What unknown and duplicate fields mean: `Ignore`, `Warn` or `Strict`."),
    "force": ("boolean", "With an apply patch: take over fields that others own."),
    "gracePeriodSeconds": ("integer", "How long the object may take to end; 0 is at once."),
    "labelSelector": ("string", "Only objects with these labels."),
    "limit": ("integer", "The most objects to answer; the rest is reached with `continue`."),
    "orphanDependents": ("boolean", "Deprecated, use propagationPolicy."),
    "pretty": ("string", "`true`: indented output."),
    "propagationPolicy": ("string", "What becomes of dependents: `Orphan`, `Background` or `Foreground`."),
    "resourceVersion": ("string", "The version to start from, or that the answer must at least have."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: `Exact` or `NotOlderThan`."),
    "sendInitialEvents": ("boolean", "Begin a watch with the objects that are there."),
    "timeoutSeconds": ("integer", "When the call ends, whatever has happened by then."),
    "watch": ("boolean", "Stream changes instead of answering a list."),
}


def paths(resource: Resource, schemas: SchemaNames, media_types: tuple[str, ...] = ()) -> Obj:
    """The path items of a resource and its subresources.

    `media_types` are the patches it takes; by default those of a built-in kind.
    """
    return _Paths(resource, schemas, media_types or (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH)).build()


class _Paths:
    def __init__(self, resource: Resource, schemas: SchemaNames, media_types: tuple[str, ...]) -> None:
        self._resource = resource
        self._schemas = schemas
        self._media_types = media_types
        self._tag = f"{_group_words(resource.group, '_').lower() or 'core'}_{resource.version}"
        self._id_group = f"{_group_words(resource.group) or 'Core'}{resource.version.capitalize()}"
        self._collection = resource.path("{namespace}" if resource.namespaced else "")
        self._scope = "Namespaced" if resource.namespaced else ""

    def build(self) -> Obj:
        kind = (self._resource.group, self._resource.version, self._resource.kind)
        result = {
            self._collection: self._item(_COLLECTION_VERBS, self._resource.verbs, kind),
            f"{self._collection}/{{name}}": self._item(_OBJECT_VERBS, self._resource.verbs, kind, named=True),
        }
        if self._resource.namespaced and "list" in self._resource.verbs:
            everywhere = self._item(_COLLECTION_VERBS, ("list",), kind, suffix="ForAllNamespaces")
            result[self._resource.path()] = everywhere
        for sub in self._resource.subresources:
            result[f"{self._collection}/{{name}}/{sub.name}"] = self._subresource(sub)
        return {path: item for path, item in result.items() if item}

    def _item(
        self,
        table: Mapping[str, _Verb],
        verbs: tuple[str, ...],
        kind: tuple[str, str, str],
        *,
        named: bool = False,
        suffix: str = "",
    ) -> Obj:
        item: Obj = {}
        for name, verb in table.items():
            if name in verbs and kind in self._schemas:
                item[verb.method] = self._operation(verb, kind, suffix)
        return _with_path_parameters(item, self._resource.namespaced and not suffix.startswith("For"), named)

    def _subresource(self, sub: Subresource) -> Obj:
        suffix = sub.name.capitalize() if sub.name != "ephemeralcontainers" else "Ephemeralcontainers"
        kind = (sub.group, sub.version, sub.kind)
        if sub.name == "log":
            item = {"get": self._operation(_OBJECT_VERBS["get"], kind, suffix, text=True)}
        elif kind in self._schemas:
            table = {**_OBJECT_VERBS, "create": _CREATE_SUBRESOURCE}
            return self._item(table, sub.verbs, kind, named=True, suffix=suffix)
        else:
            item = {
                method: self._connection(method, kind, suffix)
                for verb, method in _CONNECT.items()
                if verb in sub.verbs
            }
        return _with_path_parameters(item, self._resource.namespaced, named=True)

    def _operation(self, verb: _Verb, kind: tuple[str, str, str], suffix: str, *, text: bool = False) -> Obj:
        if suffix.startswith("For"):
            operation_id = f"{verb.id_prefix}{self._id_group}{self._resource.kind}{suffix}"
        else:
            operation_id = f"{verb.id_prefix}{self._id_group}{self._scope}{self._resource.kind}{suffix}"
        operation: Obj = {
            "tags": [self._tag],
            "description": verb.description.format(kind=kind[2]),
            "operationId": operation_id,
            "parameters": [_query(name) for name in sorted((*verb.parameters, "pretty"))],
        }
        if verb.body:
            operation["requestBody"] = self._request_body(verb.body, kind)
        operation["responses"] = {
            str(code): {"description": meaning, "content": self._content(what, kind, text)}
            for code, meaning, what in verb.answers
        }
        return {**operation, **_marks(verb.action, kind)}

    def _request_body(self, body: str, kind: tuple[str, str, str]) -> Obj:
        media_types = self._media_types if body == "patch" else (ANY_BODY,)
        name = {"patch": f"{META}Patch", "options": f"{META}DeleteOptions"}.get(body) or self._schemas[kind]
        content = {media_type: {"schema": reference(name)} for media_type in media_types}
        return {"content": content} if body == "options" else {"content": content, "required": True}

    def _content(self, what: str, kind: tuple[str, str, str], text: bool) -> Obj:
        if text:
            return {"text/plain": {"schema": {"type": "string"}}}
        if what == "list":
            listed = self._schemas[kind[0], kind[1], self._resource.list_kind or f"{kind[2]}List"]
            return {media: {"schema": reference(listed)} for media in (JSON, WATCH_STREAM)}
        return {JSON: {"schema": reference(f"{META}Status" if what == "status" else self._schemas[kind])}}

    def _connection(self, method: str, kind: tuple[str, str, str], suffix: str) -> Obj:
        operation_id = (
            f"connect{self._id_group}{method.capitalize()}{self._scope}{self._resource.kind}{suffix}"
        )
        return {
            "tags": [self._tag],
            "description": f"connect {method.upper()} requests to {self._resource.singular}/{suffix.lower()}",
            "operationId": operation_id,
            "responses": {
                "200": {"description": "OK", "content": {ANY_BODY: {"schema": {"type": "string"}}}},
            },
            **_marks("connect", kind),
        }


def reference(name: str) -> Obj:
    return {"$ref": f"#/components/schemas/{name}"}


def _marks(action: str, kind: tuple[str, str, str]) -> Obj:
    group, version, name = kind
    return {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": name},
    }


def _with_path_parameters(item: Obj, namespaced: bool, named: bool) -> Obj:
    if not item:
        return item
    names = [name for name, there in (("name", named), ("namespace", namespaced)) if there]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
        for name in names
    ]
    return {**item, "parameters": parameters} if parameters else item


def _query(name: str) -> Obj:
    kind, description = _PARAMETERS[name]
    schema: dict[str, Any] = {"type": kind, "uniqueItems": True}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _group_words(group: str, separator: str = "") -> str:
    """`rbac.authorization.k8s.io` -> `RbacAuthorization`"""
    words: list[str] = group.removesuffix(".k8s.io").split(".")
    capitalize: Callable[[str], str] = str.capitalize
    return separator.join(map(capitalize, words))
