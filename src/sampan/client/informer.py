"""A live, local copy of a resource: lists and watches it, keeps a cache, tells handlers of every change.

`run` is the only task that changes the cache. Handlers are called by it, synchronously, right after the
change they hear of; so on the event loop cache and handlers never disagree for longer than one handler call.

The stream asked for first is a WatchList (KEP-3157: `sendInitialEvents`, the present objects as ADDED, then a
bookmark, then changes). A server that refuses it with 422 is asked for a list and then a watch. A stream that
ends is resumed after the last revision seen; where that is too old (410) everything is asked for again and
the cache brought in line, so that handlers hear of what changed or went away in the gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, annotations_of, key_of, uid_of
from sampan.api.request import WatchEvent
from sampan.api.resources import Resource
from sampan.client.backoff import Backoff
from sampan.client.cache import Cache, IndexFn, Keys, Objs
from sampan.client.client import Client, ended

Handler: TypeAlias = Callable[[Obj | None, Obj | None], None]
"""(old, new): (None, new) added, (old, new) changed, (old, None) gone."""

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
PAGE_SIZE = 500

log = logging.getLogger(__name__)


class Informer:
    """Objects handed out are shared: read only."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self.resource = resource
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._cache = Cache()
        self._handlers: tuple[Handler, ...] = ()
        self._synced = asyncio.Event()
        self._revision = ""
        """Where to resume: all changes up to it are in the cache. Empty: bring the cache in line first."""
        self._unseen: set[str] | None = None
        """While present objects arrive: keys in the cache not confirmed yet; what remains has gone."""
        self._watch_list = True
        self._backoff = Backoff()

    def get(self, key: str) -> Obj | None:
        return self._cache.get(key)

    def list(self) -> Objs:
        return self._cache.list()

    def keys(self) -> Keys:
        return self._cache.keys()

    def add_index(self, name: str, values_of: IndexFn) -> None:
        self._cache.add_index(name, values_of)

    def by_index(self, name: str, value: str) -> Objs:
        return self._cache.by_index(name, value)

    def subscribe(self, handler: Handler) -> None:
        """Calls `handler` for every object there is, now, and for every change from here on."""
        self._handlers = (*self._handlers, handler)
        for obj in self._cache.list():
            self._tell(handler, None, obj)

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Returns once the cache has held everything there was at one moment."""
        await self._synced.wait()

    async def run(self) -> None:
        """Follows the resource until cancelled."""
        while True:
            try:
                await self._follow()
            except StatusError as error:
                self._refused(error)
            except (OSError, TimeoutError) as error:
                log.warning("%s: %s", self.resource.qualified, error)
            except Exception:
                log.exception("%s: watch failed, starting over", self.resource.qualified)
                self._revision = ""
            await asyncio.sleep(self._backoff.next_s())

    async def _follow(self) -> None:
        """One stream, from opening to end."""
        params = {"allowWatchBookmarks": "true"}
        if not self._revision:
            self._unseen = set(self._cache.keys())
            if self._watch_list:
                params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
            else:
                await self._list()
        stream = self._client.watch(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            revision=self._revision,
            params=params,
        )
        async with ended(stream):
            async for event in stream:
                self._apply(event)
                self._backoff.reset()

    async def _list(self) -> None:
        token = ""
        while True:
            params = {"limit": str(PAGE_SIZE)} | ({"continue": token} if token else {})
            page = await self._client.list(
                self.resource,
                self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                params=params,
            )
            for item in page.get("items") or ():
                if "kind" not in item:  # lists may leave out what their own kind says already
                    item = {"apiVersion": self.resource.api_version, "kind": self.resource.kind} | item
                self._put(item)
            token = page["metadata"].get("continue", "")
            if not token:
                self._caught_up(page["metadata"]["resourceVersion"])
                return

    def _refused(self, error: StatusError) -> None:
        if error.code == 410:
            log.info("%s: %s", self.resource.qualified, error.message)
            self._revision = ""
        elif error.code == 422 and self._watch_list and not self._revision:
            log.info("%s: no WatchList here, falling back to list and watch", self.resource.qualified)
            self._watch_list = False
        else:
            log.warning("%s: %s", self.resource.qualified, error.message)

    def _apply(self, event: WatchEvent) -> None:
        kind, obj = event
        if kind == "ERROR":
            raise StatusError(obj)
        if kind == "BOOKMARK":
            if annotations_of(obj).get(INITIAL_EVENTS_END) == "true":
                self._caught_up(obj["metadata"]["resourceVersion"])
        elif kind == "DELETED":
            self._remove(key_of(obj), obj)
        else:
            self._put(obj)
        if self._unseen is None:
            self._revision = obj["metadata"]["resourceVersion"]

    def _caught_up(self, revision: str) -> None:
        vanished, self._unseen = self._unseen or (), None
        for key in vanished:
            self._remove(key)
        self._revision = revision
        self._synced.set()

    def _put(self, obj: Obj) -> None:
        key = key_of(obj)
        if self._unseen is not None:
            self._unseen.discard(key)
        old = self._cache.get(key)
        if old is not None:
            if old["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion"):
                return
            if uid_of(old) != uid_of(obj):
                self._remove(key)
                old = None
        self._cache.put(key, obj)
        self._tell_all(old, obj)

    def _remove(self, key: str, last: Obj | None = None) -> None:
        """`last` is the object as it went, where it is known better than the cache has it."""
        old = self._cache.get(key)
        if self._unseen is not None:
            self._unseen.discard(key)
        if old is not None:
            self._cache.remove(key)
            self._tell_all(last or old, None)

    def _tell_all(self, old: Obj | None, new: Obj | None) -> None:
        for handler in self._handlers:
            self._tell(handler, old, new)

    def _tell(self, handler: Handler, old: Obj | None, new: Obj | None) -> None:
        try:
            handler(old, new)
        except Exception:
            key = key_of(new or old or {"metadata": {}})
            log.exception("%s: handler failed for %s", self.resource.qualified, key)
