"""Watches: what a watcher is shown first, then every change, until somebody ends it.

Two kinds of sink hang on the caches: `StreamSink` writes straight into an HTTP connection, `QueueSink` hands
shared dicts to a component in this process. Both are called in the step that applies a change and never
wait: a sink whose backlog is full ends its watch, and the watcher starts again from where it was.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass

import orjson

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import WatchEvent
from sampan.apiserver import params
from sampan.apiserver.conversion import from_storage, storage_resource
from sampan.apiserver.entry import Entry, event_line
from sampan.apiserver.filters import Filter
from sampan.apiserver.http import Exchange, chunk
from sampan.apiserver.lister import check_options, wait_fresh
from sampan.apiserver.watchcache import Batch, Cache, Change, Hub
from sampan.store.contract import Compacted, WatcherTooSlow

QUEUE_LIMIT = 100_000  # events a component in this process may lag behind
BACKLOG_LIMIT = 8192  # pieces an HTTP watcher may lag behind, beyond its socket's buffers
INITIAL_SLICE = 256  # objects written between two looks at the client's pace

Encoder = Callable[[str, Entry], bytes]


@dataclass(slots=True)
class Start:
    """Where a watch begins: `initial` objects first, then `missed` changes, then live ones.

    `history` is set instead when only the store still knows what was missed.
    """

    revision: int
    initial: Iterable[Entry] = ()
    missed: Iterable[Change] = ()
    initial_end: bool = False
    history: bool = False


async def prepare(hub: Hub, cache: Cache, wanted: Filter, query: Mapping[str, str]) -> Start:
    """Decides where to begin. The caller must attach its sink before it awaits anything else."""
    check_options(query, watch=True)
    said = "sendInitialEvents" in query
    send_initial = params.flag(query, "sendInitialEvents")
    bookmarks = params.flag(query, "allowWatchBookmarks")
    revision = params.revision(query)
    if revision:
        await wait_fresh(hub, revision)
    if send_initial or (not said and not revision):
        initial = (entry for entry in cache.scan(wanted.prefix) if wanted.matches(entry))
        if wanted.everything:
            initial = (entry for entry in cache.scan(wanted.prefix))
        return Start(hub.revision, list(initial), (), bookmarks and said)
    if not revision:
        return Start(hub.revision)
    missed = cache.since(revision)
    if missed is None:
        return Start(revision, history=True)
    return Start(hub.revision, (), missed)


def timeout_of(query: Mapping[str, str]) -> float:
    """Seconds a watch lasts: as asked, else 30 to 60 minutes at random so that not all return at once."""
    return float(params.number(query, "timeoutSeconds") or 0) or random.uniform(1800, 3600)


def bookmark_object(wanted: Filter, revision: int, *, initial_end: bool = False) -> Obj:
    metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {
        "kind": wanted.resource.kind,
        "apiVersion": wanted.resource.api_version,
        "metadata": metadata,
    }


def too_old(asked: int, oldest: int) -> StatusError:
    return errors.expired(f"too old resource version: {asked} ({oldest})")


async def history(hub: Hub, wanted: Filter, after: int) -> AsyncIterator[tuple[str, Entry]]:
    """Changes from the store's own memory, for watchers that come from further back than the cache."""
    async for batch in hub.store.watch(wanted.prefix, after=after):
        for event in batch:
            entry = Entry(event.key, event.value, event.revision)
            previous = None if event.previous is None else Entry(event.key, event.previous, event.revision)
            kind = "DELETED" if event.deleted else "ADDED" if previous is None else "MODIFIED"
            view = wanted.view(Change(kind, entry, previous))
            if view is not None:
                yield view


class QueueSink:
    """A watcher in this process: shared dicts in a queue."""

    def __init__(self, wanted: Filter, bookmarks: bool) -> None:
        self.prefix = wanted.prefix
        self._wanted = wanted
        self._bookmarks = bookmarks
        self._convert = storage_resource(wanted.resource) is not wanted.resource
        self._events: deque[WatchEvent] = deque()
        self._wake: asyncio.Future[None] | None = None
        self.error: StatusError | None = None
        self.ended = False

    def offer(self, batch: Batch) -> None:
        events = self._events
        if len(events) > QUEUE_LIMIT:
            self.error = too_old(0, batch.changes[0].revision)
            events.clear()
            self.shut()
            return
        everything = self._wanted.everything
        for change in batch.changes:
            view = (change.type, change.entry) if everything else self._wanted.view(change)
            if view is not None:
                self.put(view[0], view[1])
        self._notify()

    def put(self, kind: str, entry: Entry) -> None:
        obj = from_storage(self._wanted.resource, entry.obj) if self._convert else entry.obj
        self._events.append(WatchEvent(kind, obj))

    def bookmark(self, revision: int, *, initial_end: bool = False) -> None:
        if self._bookmarks:
            obj = bookmark_object(self._wanted, revision, initial_end=initial_end)
            self._events.append(WatchEvent("BOOKMARK", obj))
            self._notify()

    def shut(self) -> None:
        self.ended = True
        self._notify()

    async def next(self) -> WatchEvent | None:
        """The next event, None at the end; raises StatusError where the stream broke."""
        while not self._events:
            if self.error is not None:
                raise self.error
            if self.ended:
                return None
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._events.popleft()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class StreamSink:
    """A watcher at the other end of an HTTP connection."""

    def __init__(self, exchange: Exchange, wanted: Filter, bookmarks: bool, encode: Encoder | None) -> None:
        self.prefix = wanted.prefix
        self._exchange = exchange
        self._connection = exchange.connection
        self._wanted = wanted
        self._bookmarks = bookmarks
        self._encode = encode
        # The shared bytes of a change are already framed as a chunk: fit for HTTP/1.1 and no transformation.
        self._shared = encode is None and exchange.chunked
        self._backlog: deque[bytes] = deque()
        self._live = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection.when_writable(self._flush)

    def offer(self, batch: Batch) -> None:
        if self._shared and self._wanted.everything:
            self._write(batch.lines)
            return
        parts = []
        for change in batch.changes:
            view = self._wanted.view(change)
            if view is None:
                continue
            if self._shared and view == (change.type, change.entry):
                parts.append(change.line)
            else:
                parts.append(self._framed(*view))
        if parts:
            self._write(b"".join(parts))

    def bookmark(self, revision: int) -> None:
        if self._bookmarks:
            self._write(self._bookmark_bytes(revision))

    def initial_end(self, revision: int) -> None:
        """Says that everything present has been shown; goes before what queued up meanwhile."""
        self._connection.write(self._bookmark_bytes(revision, initial_end=True))

    def fail(self, error: StatusError) -> None:
        """An ERROR event, then the end."""
        self._write(self._frame(event_line("ERROR", orjson.dumps(error.status))))
        self.shut()

    def shut(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    async def replay(self, views: Iterable[tuple[str, Entry]]) -> None:
        """Writes what the watcher sees first, at its own pace; live changes queue up behind."""
        parts: list[bytes] = []
        for kind, entry in views:
            parts.append(self._framed(kind, entry))
            if len(parts) == INITIAL_SLICE:
                self._connection.write(b"".join(parts))
                parts.clear()
                await self._exchange.drain()
        if parts:
            self._connection.write(b"".join(parts))

    def go_live(self) -> None:
        self._live = True
        self._flush()

    async def drain(self) -> None:
        await self._exchange.drain()

    def send_view(self, kind: str, entry: Entry) -> None:
        self._connection.write(self._framed(kind, entry))

    def _bookmark_bytes(self, revision: int, *, initial_end: bool = False) -> bytes:
        obj = bookmark_object(self._wanted, revision, initial_end=initial_end)
        return self._framed("BOOKMARK", Entry("", orjson.dumps(obj), revision))

    def _framed(self, kind: str, entry: Entry) -> bytes:
        if self._encode is not None:
            return self._frame(self._encode(kind, entry))
        return self._frame(event_line(kind, entry.value))

    def _frame(self, line: bytes) -> bytes:
        return chunk(line) if self._exchange.chunked else line

    def _write(self, data: bytes) -> None:
        if self._live and not self._backlog and not self._connection.paused:
            self._connection.write(data)
            return
        self._backlog.append(data)
        if len(self._backlog) > BACKLOG_LIMIT:
            self._backlog.clear()
            self._connection.transport.abort()
            self.shut()

    def _flush(self) -> None:
        while self._live and self._backlog and not self._connection.paused:
            self._connection.write(self._backlog.popleft())


async def stream(
    hub: Hub,
    cache: Cache,
    wanted: Filter,
    query: Mapping[str, str],
    exchange: Exchange,
    content_type: str,
    encode: Encoder | None,
) -> None:
    """Serves a watch over HTTP until its time is over, the client leaves or lags, or the server stops."""
    start = await prepare(hub, cache, wanted, query)
    bookmarks = params.flag(query, "allowWatchBookmarks")
    exchange.chunked = exchange.version == "1.1"
    sink = StreamSink(exchange, wanted, bookmarks, encode)
    if not start.history:
        cache.attach(sink)
    exchange.connection.cancel_when_lost = True
    if exchange.connection.lost:
        cache.detach(sink)
        return
    timer = asyncio.get_running_loop().call_later(timeout_of(query), sink.shut)
    try:
        exchange.start_stream(200, content_type)
        if start.history:
            await _stream_history(hub, wanted, start.revision, sink)
        else:
            await sink.replay(("ADDED", entry) for entry in start.initial)
            await sink.replay(view for view in map(wanted.view, start.missed) if view is not None)
            if start.initial_end:
                sink.initial_end(start.revision)
            sink.go_live()
            await sink.done
            sink.bookmark(hub.revision)
        exchange.end()
    finally:
        timer.cancel()
        cache.detach(sink)


async def _stream_history(hub: Hub, wanted: Filter, after: int, sink: StreamSink) -> None:
    sink.go_live()
    views = history(hub, wanted, after)

    async def copy() -> None:
        try:
            async for kind, entry in views:
                sink.send_view(kind, entry)
                await sink.drain()
        except Compacted as error:
            sink.fail(too_old(error.asked, error.oldest))
        except WatcherTooSlow:
            sink.fail(too_old(after, hub.revision))

    task = asyncio.get_running_loop().create_task(copy())
    try:
        await asyncio.wait((task, sink.done), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def events(
    hub: Hub, cache: Cache, wanted: Filter, query: Mapping[str, str]
) -> AsyncIterator[WatchEvent]:
    """Serves one watch inside the process: shared objects, no JSON."""
    start = await prepare(hub, cache, wanted, query)
    sink = QueueSink(wanted, params.flag(query, "allowWatchBookmarks"))
    if start.history:
        async for older in _history_events(hub, wanted, start.revision):
            yield older
        return
    cache.attach(sink)
    for entry in start.initial:
        sink.put("ADDED", entry)
    for change in start.missed:
        if (view := wanted.view(change)) is not None:
            sink.put(*view)
    if start.initial_end:
        sink.bookmark(start.revision, initial_end=True)
    timer = asyncio.get_running_loop().call_later(timeout_of(query), sink.shut)
    try:
        while (event := await sink.next()) is not None:
            yield event
    finally:
        timer.cancel()
        cache.detach(sink)


async def _history_events(hub: Hub, wanted: Filter, after: int) -> AsyncIterator[WatchEvent]:
    try:
        async for kind, entry in history(hub, wanted, after):
            yield WatchEvent(kind, from_storage(wanted.resource, entry.obj))
    except Compacted as error:
        raise too_old(error.asked, error.oldest) from None
    except WatcherTooSlow:
        raise too_old(after, hub.revision) from None
