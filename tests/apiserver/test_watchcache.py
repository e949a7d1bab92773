from __future__ import annotations

import gc

import orjson
import pytest

from sampan.api.resources import CONFIG_MAPS
from sampan.apiserver import watchcache
from sampan.apiserver.filters import Filter
from sampan.apiserver.sinks import QueueSink
from sampan.apiserver.watchcache import Batch, Cache, Change
from sampan.store.contract import Event

PREFIX = "/registry/core/configmaps/"


def event(name: str, revision: int, *, deleted: bool = False, size: int = 0) -> Event:
    body = {"metadata": {"name": name, "resourceVersion": str(revision)}, "data": {"k": "x" * size}}
    return Event(f"{PREFIX}default/{name}", orjson.dumps(body), revision, deleted, None)


def applied(cache: Cache, *events: Event) -> list[Change]:
    changes = [change for change in map(cache.apply, events) if change is not None]
    cache.dispatch(changes)
    return changes


@pytest.fixture
def cache() -> Cache:
    return Cache(PREFIX, 0)


def watching(cache: Cache) -> QueueSink:
    sink = QueueSink(Filter(CONFIG_MAPS, PREFIX), bookmarks=False)
    cache.attach(sink)
    return sink


def test_watchers_in_this_process_share_one_dict(cache: Cache) -> None:
    sinks = [watching(cache), watching(cache)]
    (change,) = applied(cache, event("a", 1))
    first, second = (sink._events[0].object for sink in sinks)
    assert first is second
    assert change.entry.obj is first


def test_a_superseded_object_keeps_only_its_bytes(cache: Cache) -> None:
    watching(cache)
    (first,) = applied(cache, event("a", 1))
    held = first.entry.obj
    (second,) = applied(cache, event("a", 2))
    assert second.previous is first.entry
    assert not first.entry.shared
    assert first.entry.obj == held  # made anew for who still asks
    assert second.entry.shared


def test_a_deleted_object_keeps_only_its_bytes(cache: Cache) -> None:
    watching(cache)
    applied(cache, event("a", 1))
    (change,) = applied(cache, event("a", 2, deleted=True))
    assert not change.entry.shared


def test_a_dict_that_nobody_watches_does_not_stay(cache: Cache) -> None:
    (change,) = applied(cache, event("a", 1))
    assert change.entry.obj["metadata"]["name"] == "a"
    assert not change.entry.shared


def test_a_line_is_made_once_for_all_watchers_and_not_kept(cache: Cache) -> None:
    lines = []

    class Reading(QueueSink):
        def offer(self, batch: Batch) -> None:
            lines.append(batch.changes[0].line)

    for _ in range(2):
        cache.attach(Reading(Filter(CONFIG_MAPS, PREFIX), bookmarks=False))
    (change,) = applied(cache, event("a", 1))
    assert lines[0] is lines[1]
    assert change.line is not lines[0]


def test_a_batch_is_gone_once_it_was_shown(cache: Cache) -> None:
    """A cycle would hold the lines of all that was ever shown until the next collection."""
    for prefix in (PREFIX, f"{PREFIX}default/"):
        cache.attach(QueueSink(Filter(CONFIG_MAPS, prefix), bookmarks=False))
    gc.collect()
    gc.disable()
    try:
        applied(cache, event("a", 1))
        assert not [obj for obj in gc.get_objects() if isinstance(obj, Batch)]
    finally:
        gc.enable()


def test_history_is_bounded_in_changes(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchcache, "RING_SIZE", 3)
    applied(cache, *(event("a", revision) for revision in range(1, 6)))
    assert cache.since(1) is None
    assert [change.revision for change in cache.since(2) or ()] == [3, 4, 5]


def test_history_is_bounded_in_bytes(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchcache, "RING_BYTES", 2500)
    applied(cache, *(event("a", revision, size=1000) for revision in range(1, 6)))
    assert cache.since(2) is None
    assert [change.revision for change in cache.since(3) or ()] == [4, 5]
    # One change that is more than all there may be is not remembered, but known to have been.
    applied(cache, event("a", 6, size=3000))
    assert cache.since(5) is None
    assert cache.since(6) == []
