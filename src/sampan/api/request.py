"""A request to the API as a value, and the contract of whatever carries it there.

Over HTTPS a request is bytes, in process it is handed over as it stands; components cannot tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from sampan.api.objects import Obj
from sampan.api.resources import Resource

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Who asks: authentication.k8s.io/v1 UserInfo."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One call on a resource.

    `verb` is one of get, list, watch, create, update, patch, delete, deletecollection, connect.
    `namespace` is "" for cluster-scoped resources and for all namespaces; `name` is "" for collections.
    `params` are the query parameters by their API names (`labelSelector`, `dryRun`, ...), last one wins.
    `body` is a decoded object (a list for a JSON patch); callers give it away and must not touch it again.
    `content_type` says which kind of patch `body` is.
    """

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    body: Obj | list[Obj] | None = None
    content_type: str = JSON


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR (then `object` is a Status)."""

    type: str
    object: Obj


class Transport(Protocol):
    """Carries requests of one user to an API server.

    `call` answers with the object (a list kind for `list`, a Status for some deletes) or raises StatusError.
    `watch` yields events in revision order and ends when the server ends it; an error before or within the
    stream is raised as StatusError. Objects may be shared with others: callers do not write to them.
    """

    async def call(self, request: Request) -> Obj: ...

    def watch(self, request: Request) -> AsyncIterator[WatchEvent]: ...

    async def close(self) -> None: ...
