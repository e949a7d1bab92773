"""The way into the API for components of the same process: no sockets, no JSON, the same rules."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sampan.api import decode
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo, WatchEvent
from sampan.apiserver import watching
from sampan.apiserver.dispatch import Dispatcher
from sampan.apiserver.entry import Entry
from sampan.apiserver.lister import Page
from sampan.apiserver.render import object_of, page_object

_WHOLE_OBJECT = frozenset(["create", "update"])


class DirectTransport:
    """Keeps api.request.Transport. Objects it answers are the cache's own: read them only."""

    def __init__(self, dispatcher: Dispatcher, user: UserInfo) -> None:
        self._dispatcher = dispatcher
        self._user = user

    async def call(self, request: Request) -> Obj:
        body = request.body
        if request.verb in _WHOLE_OBJECT and not request.subresource and isinstance(body, dict):
            decode.prune(body, request.resource.api_version, request.resource.kind, decode.IGNORE)
        answer, _ = await self._dispatcher.perform(self._user, request)
        found = answer.body
        if isinstance(found, Entry):
            return object_of(request.resource, found)
        if isinstance(found, Page):
            return page_object(request.resource, found)
        return found

    async def watch(self, request: Request) -> AsyncIterator[WatchEvent]:
        cache, wanted = self._dispatcher.watched(self._user, request)
        hub = self._dispatcher.pipeline.hub
        async for event in watching.events(hub, cache, wanted, request.params):
            yield event

    async def close(self) -> None:
        """Nothing is held open."""
