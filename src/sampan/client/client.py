"""The one way components see the world: typed calls on a resource, over whatever transport there is.

Every method raises `StatusError` when the server refuses and `Unreachable` when no answer came in time.
Objects that come back may be shared with others: read them, or take `objects.mutable` first. Objects handed
in are given away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from sampan.api.objects import Obj, name_of, namespace_of, uid_of
from sampan.api.request import MERGE_PATCH, STRATEGIC_MERGE_PATCH, Request, Transport, WatchEvent
from sampan.api.resources import PODS, Resource
from sampan.client.errors import Unreachable

TIMEOUT_S = 30.0

Body: TypeAlias = Obj | list[Obj]


class Client:
    """`timeout_s` bounds every call but `watch`; None waits for ever."""

    def __init__(self, transport: Transport, *, timeout_s: float | None = TIMEOUT_S) -> None:
        self.transport = transport
        self._timeout_s = timeout_s

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Obj:
        return await self._call(Request("get", resource, namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Obj:
        """The list object: `items`, and in `metadata` its resourceVersion and maybe `continue`."""
        query = _query(label_selector, field_selector, params)
        return await self._call(Request("list", resource, namespace, params=query))

    async def create(
        self,
        resource: Resource,
        obj: Obj,
        *,
        namespace: str | None = None,
        subresource: str = "",
        name: str = "",
    ) -> Obj:
        """Creates `obj` in its own namespace, or posts it to `subresource` of the object `name`."""
        if namespace is None:
            namespace = namespace_of(obj)
        return await self._call(Request("create", resource, namespace, name, subresource, body=obj))

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "") -> Obj:
        """Replaces the object; with `metadata.resourceVersion` set only if it is still at that revision."""
        request = Request("update", resource, namespace_of(obj), name_of(obj), subresource, body=obj)
        return await self._call(request)

    async def update_status(self, resource: Resource, obj: Obj) -> Obj:
        return await self.update(resource, obj, subresource="status")

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Body,
        *,
        namespace: str = "",
        content_type: str = MERGE_PATCH,
        subresource: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Obj:
        """`content_type` says which kind of patch it is; a uid or resourceVersion in it is a precondition."""
        request = Request(
            "patch", resource, namespace, name, subresource, dict(params or {}), patch, content_type
        )
        return await self._call(request)

    async def patch_status(self, resource: Resource, obj: Obj, status: Obj) -> Obj:
        """Merges `status` into the object's, conditions by their type; 409 if another has its name by now."""
        return await self.patch(
            resource,
            name_of(obj),
            {"metadata": {"uid": uid_of(obj)}, "status": status},
            namespace=namespace_of(obj),
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        revision: str = "",
        grace_period_s: int | None = None,
        propagation: str = "",
    ) -> Obj:
        """Deletes, or begins to: answers the object as it goes, or a Status.

        `uid` and `revision` are preconditions (409 if the object is another); `propagation` is Background,
        Foreground or Orphan.
        """
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = {"uid": uid, "resourceVersion": revision}
        if wanted := {key: value for key, value in preconditions.items() if value}:
            options["preconditions"] = wanted
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation:
            options["propagationPolicy"] = propagation
        return await self._call(Request("delete", resource, namespace, name, body=options))

    async def delete_collection(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Obj:
        query = _query(label_selector, field_selector)
        return await self._call(Request("deletecollection", resource, namespace, params=query))

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        revision: str = "",
        params: Mapping[str, str] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Events after `revision` (empty: what is there first, as ADDED) until the server ends the stream."""
        query = _query(label_selector, field_selector, params)
        if revision:
            query["resourceVersion"] = revision
        return self.transport.watch(Request("watch", resource, namespace, params=query))

    async def bind(self, pod: Obj, node_name: str) -> None:
        """Gives `pod` to a node, as the scheduler does: POST to its `binding` subresource."""
        metadata: dict[str, Any] = {"name": name_of(pod), "namespace": namespace_of(pod)}
        if uid := uid_of(pod):
            metadata["uid"] = uid
        binding: Obj = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": metadata,
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }
        await self.create(PODS, binding, subresource="binding", name=name_of(pod))

    async def close(self) -> None:
        await self.transport.close()

    async def _call(self, request: Request) -> Obj:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self.transport.call(request)
        except TimeoutError as error:
            where = request.resource.path(request.namespace, request.name, request.subresource)
            raise Unreachable(f"{request.verb} {where}: no answer within {self._timeout_s:g} s") from error


@asynccontextmanager
async def ended(stream: AsyncIterator[WatchEvent]) -> AsyncIterator[None]:
    """Ends a watch when its reader leaves early, instead of whenever it is collected."""
    try:
        yield
    finally:
        if (close := getattr(stream, "aclose", None)) is not None:
            await close()


def _query(
    label_selector: str, field_selector: str, params: Mapping[str, str] | None = None
) -> dict[str, str]:
    query = dict(params or {})
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    return query
