"""Watches: what a watcher is shown first, then every change, until somebody ends it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

from sampan.api.request import WatchEvent
from sampan.apiserver import params
from sampan.apiserver.conversion import from_storage
from sampan.apiserver.entry import Entry
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.filters import Filter
from sampan.apiserver.lister import check_options, wait_fresh
from sampan.apiserver.sinks import Encoder, QueueSink, StreamSink, too_old
from sampan.apiserver.watchcache import Cache, Change, Hub
from sampan.store.contract import Compacted, WatcherTooSlow


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


async def stream(
    hub: Hub,
    cache: Cache,
    wanted: Filter,
    query: Mapping[str, str],
    exchange: Exchange,
    content_type: str,
    encode: Encoder | None,
    headers: Iterable[tuple[str, str]] = (),
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

    def time_is_over() -> None:
        sink.bookmark(hub.revision)
        sink.shut()

    timer = asyncio.get_running_loop().call_later(timeout_of(query), time_is_over)
    try:
        exchange.start_stream(200, content_type, headers)
        if start.history:
            await _stream_history(hub, wanted, start.revision, sink)
        else:
            await sink.replay(("ADDED", entry) for entry in start.initial)
            await sink.replay(view for view in map(wanted.view, start.missed) if view is not None)
            if start.initial_end:
                sink.initial_end(start.revision)
            sink.go_live()
            await sink.done
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
        change.settle()
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
