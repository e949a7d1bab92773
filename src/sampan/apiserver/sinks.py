"""Watchers as the caches know them: `StreamSink` writes straight into an HTTP connection, `QueueSink` hands
shared dicts to a component in this process.

Both are called in the step that applies a change and never wait: a sink whose backlog is full ends its
watch, and the watcher starts again from where it was.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import orjson

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import WatchEvent
from sampan.apiserver.conversion import from_storage, storage_resource
from sampan.apiserver.entry import Entry, event_line
from sampan.apiserver.exchange import Exchange, chunk
from sampan.apiserver.filters import Filter
from sampan.apiserver.watchcache import Batch

QUEUE_LIMIT = 100_000  # events a component in this process may lag behind
BACKLOG_LIMIT = 8192  # pieces an HTTP watcher may lag behind, beyond its socket's buffers
BACKLOG_BYTES = 16 << 20  # and bytes: pieces may be as large as objects may be
INITIAL_SLICE = 256  # objects written between two looks at the client's pace

Encoder = Callable[[str, Entry], bytes]


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


class QueueSink:
    """A watcher in this process: shared dicts in a queue."""

    def __init__(self, wanted: Filter, bookmarks: bool) -> None:
        self.prefix = wanted.prefix
        self._wanted = wanted
        self._bookmarks = bookmarks
        self._convert = storage_resource(wanted.resource) is not wanted.resource
        self._events: deque[WatchEvent] = deque()
        self._latest: Obj | None = None
        """What was shown last: the model of the next, unless that has an earlier version."""
        self._wake: asyncio.Future[None] | None = None
        self.error: StatusError | None = None
        self.ended = False

    def offer(self, batch: Batch) -> None:
        events = self._events
        if self.ended:
            return  # what came after a gap must not be shown
        if len(events) > QUEUE_LIMIT:
            self.error = too_old(0, batch.changes[0].revision)
            events.clear()
            self.shut()
            return
        everything = self._wanted.everything
        for change in batch.changes:
            view = (change.type, change.entry) if everything else self._wanted.view(change)
            if view is not None:
                self.put(view[0], view[1], change.previous)
        self._notify()

    def put(self, kind: str, entry: Entry, previous: Entry | None = None) -> None:
        if self._convert:
            obj = from_storage(self._wanted.resource, entry.obj)
        else:
            model = previous.share() if previous is not None and previous.shared else self._latest
            obj = self._latest = entry.share(model)
        self._events.append(WatchEvent(kind, obj))

    def bookmark(self, revision: int, *, initial_end: bool = False) -> None:
        if self._bookmarks and not self.ended:
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
        self._backlog_bytes = 0
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
        if self.done.done():
            return
        if self._live and not self._backlog and not self._connection.paused:
            self._connection.write(data)
            return
        self._backlog.append(data)
        self._backlog_bytes += len(data)
        if len(self._backlog) > BACKLOG_LIMIT or self._backlog_bytes > BACKLOG_BYTES:
            self._backlog.clear()
            self._connection.transport.abort()
            self.shut()

    def _flush(self) -> None:
        while self._live and self._backlog and not self._connection.paused:
            piece = self._backlog.popleft()
            self._backlog_bytes -= len(piece)
            self._connection.write(piece)
