"""What `store.contract` promises, asked of every store alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from sampan.store.contract import (
    ABSENT,
    Compacted,
    Delete,
    Event,
    FutureRevision,
    Put,
    Stamped,
    Store,
    StoreError,
    TxnConflict,
    WatcherTooSlow,
)
from sampan.store.memory import MemoryStore
from sampan.store.sqlite import SqliteStore

BUFFER = 100


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore(watch_buffer=BUFFER)
    else:
        made = SqliteStore(tmp_path / "store.db", watch_buffer=BUFFER)
    await made.open()
    yield made
    await made.close()


async def put(store: Store, key: str, value: bytes, expect: int | None = None) -> int:
    return (await store.txn([Put(key, value, expect)]))[0]


async def delete(store: Store, key: str, last: bytes = b"", expect: int | None = None) -> int:
    return (await store.txn([Delete(key, last, expect)]))[0]


async def events_until(watch: AsyncIterator[Sequence[Event]], revision: int) -> list[Event]:
    """All events of a watch up to the one at `revision`."""
    seen: list[Event] = []
    async with asyncio.timeout(30):
        async for batch in watch:
            seen += batch
            if seen[-1].revision >= revision:
                break
    return seen


async def test_revisions_grow_by_one_for_all_keys(store: Store) -> None:
    assert store.revision == 0
    assert await put(store, "/a", b"1") == 1
    assert await put(store, "/b", b"1") == 2
    assert await put(store, "/a", b"2") == 3
    assert store.revision == 3


async def test_get_shows_value_revision_and_birth(store: Store) -> None:
    assert await store.get("/a") is None
    await put(store, "/other", b"")
    await put(store, "/a", b"1")
    await put(store, "/a", b"2")
    assert await store.get("/a") == ("/a", b"2", 3, 2)


async def test_a_key_that_comes_again_is_born_again(store: Store) -> None:
    await put(store, "/a", b"1")
    await delete(store, "/a")
    await put(store, "/a", b"2")
    assert await store.get("/a") == ("/a", b"2", 3, 3)


async def test_stamped_values_carry_their_revision(store: Store) -> None:
    await put(store, "/x", b"")
    await store.txn([Put("/a", Stamped(b'{"rv":"', b'"}'))])
    found = await store.get("/a")
    assert found is not None and found.value == b'{"rv":"2"}'
    watch = store.watch("/a", after=2)
    await store.txn([Delete("/a", Stamped(b"<", b">"))])
    assert await events_until(watch, 3) == [("/a", b"<3>", 3, True, b'{"rv":"2"}')]


async def test_list_is_in_byte_order(store: Store) -> None:
    for key in ("/b/ä", "/b/z", "/b/Z", "/b", "/b/", "/c", "/a/x", "/b/\U0001f6a2"):
        await put(store, key, key.encode())
    listing = await store.list("/b/")
    assert [item.key for item in listing.items] == ["/b/", "/b/Z", "/b/z", "/b/ä", "/b/\U0001f6a2"]
    assert (listing.revision, listing.remaining) == (8, 0)


async def test_list_pages(store: Store) -> None:
    for number in range(10):
        await put(store, f"/k/{number}", b"")
    page = await store.list("/k/", limit=4)
    assert [item.key[-1] for item in page.items] == list("0123")
    assert page.remaining == 6
    page = await store.list("/k/", limit=4, after="/k/3")
    assert [item.key[-1] for item in page.items] == list("4567")
    assert page.remaining == 2
    page = await store.list("/k/", limit=4, after="/k/7")
    assert [item.key[-1] for item in page.items] == list("89")
    assert page.remaining == 0


async def test_list_as_of_an_earlier_revision(store: Store) -> None:
    await put(store, "/k/stays", b"1")
    await put(store, "/k/changes", b"1")
    await put(store, "/k/goes", b"1")
    await put(store, "/k/returns", b"1")
    then = await store.list("/k/")
    await put(store, "/k/changes", b"2")
    await put(store, "/k/changes", b"3")
    await delete(store, "/k/goes")
    await delete(store, "/k/returns")
    await put(store, "/k/returns", b"2")
    await put(store, "/k/new", b"1")
    assert await store.list("/k/", revision=then.revision) == then
    first = await store.list("/k/", revision=then.revision, limit=3)
    rest = await store.list("/k/", revision=then.revision, limit=3, after=first.items[-1].key)
    assert first.items + rest.items == then.items
    assert (first.remaining, rest.remaining) == (1, 0)
    assert first.revision == rest.revision == then.revision


@pytest.mark.parametrize("expect", [ABSENT, 1, 7])
async def test_a_failed_compare_tells_where_the_key_is(store: Store, expect: int) -> None:
    await put(store, "/x", b"")
    await put(store, "/a", b"1", ABSENT)
    with pytest.raises(TxnConflict) as conflict:
        await put(store, "/a", b"2", expect)
    assert conflict.value.key == "/a"
    assert conflict.value.current == ("/a", b"1", 2, 2)
    assert store.revision == 2


async def test_a_compare_with_an_absent_key(store: Store) -> None:
    with pytest.raises(TxnConflict) as conflict:
        await delete(store, "/a", expect=3)
    assert conflict.value.current is None


async def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    await put(store, "/b", b"1")
    with pytest.raises(TxnConflict):
        await store.txn([Put("/a", b"1"), Delete("/b"), Put("/c", b"1", expect=9)])
    assert await store.get("/a") is None
    assert await store.get("/b") is not None
    assert store.revision == 1
    assert await store.txn([Put("/a", b"1"), Delete("/b", b"", 1), Put("/c", b"1", ABSENT)]) == [2, 3, 4]


async def test_operations_see_those_before_them(store: Store) -> None:
    assert await store.txn([Put("/a", b"1", ABSENT), Put("/a", b"2", 1), Delete("/a", b"", 2)]) == [1, 2, 3]
    assert await store.get("/a") is None


async def test_deleting_nothing_takes_no_revision(store: Store) -> None:
    watch = store.watch("/", after=0)
    assert await delete(store, "/a") == 0
    assert await delete(store, "/a", expect=ABSENT) == 0
    assert await store.txn([]) == []
    assert store.revision == 0
    await put(store, "/b", b"")
    assert await events_until(watch, 1) == [("/b", b"", 1, False, None)]


async def test_of_many_writers_with_one_expectation_one_wins(store: Store) -> None:
    revision = await put(store, "/a", b"0")
    results = await asyncio.gather(
        *(put(store, "/a", b"%d" % n, revision) for n in range(50)), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, int)]
    assert won == [2]
    for result in results:
        if isinstance(result, TxnConflict):
            assert result.current is not None and result.current.revision == 2


async def test_a_key_that_is_not_unicode_is_refused_alone(store: Store) -> None:
    results = await asyncio.gather(put(store, "/\ud800", b""), put(store, "/a", b""), return_exceptions=True)
    assert isinstance(results[0], ValueError)
    assert results[1] == 1


async def test_a_watch_shows_changes_in_order(store: Store) -> None:
    watch = store.watch("/k/", after=0)
    await put(store, "/k/a", b"1")
    await put(store, "/other", b"1")
    await put(store, "/k/a", b"2")
    await delete(store, "/k/a", b"last")
    assert await events_until(watch, 4) == [
        ("/k/a", b"1", 1, False, None),
        ("/k/a", b"2", 3, False, b"1"),
        ("/k/a", b"last", 4, True, b"2"),
    ]


async def test_a_watch_replays_what_has_happened(store: Store) -> None:
    await put(store, "/k/a", b"1")
    await put(store, "/k/a", b"2")
    await delete(store, "/k/a", b"last")
    await put(store, "/other", b"1")
    watch = store.watch("/k/", after=1)
    await put(store, "/k/b", b"1")
    assert await events_until(watch, 5) == [
        ("/k/a", b"2", 2, False, b"1"),
        ("/k/a", b"last", 3, True, b"2"),
        ("/k/b", b"1", 5, False, None),
    ]


async def test_events_of_a_transaction_come_in_one_batch(store: Store) -> None:
    for _ in range(3):
        await put(store, "/x", b"")
    ops = [Put(f"/k/{number:04}", b"") for number in range(2500)]
    live = store.watch("/k/", after=store.revision)
    await store.txn(ops)
    async with asyncio.timeout(30):
        assert len(await anext(live)) == 2500
        await put(store, "/k/last", b"")
        replayed = await anext(store.watch("/k/", after=0))
    assert len([event for event in replayed if event.key != "/k/last"]) == 2500


async def test_a_watch_registered_while_writes_are_on_their_way_misses_and_repeats_nothing(
    store: Store,
) -> None:
    async def write(writer: int) -> None:
        for number in range(30):
            await put(store, f"/k/{writer}/{number}", b"")

    async def follow(start: int) -> list[int]:
        if start:
            await events_until(store.watch("/", after=0), start)
        seen = await events_until(store.watch("/k/", after=start // 2), 300)
        return [event.revision for event in seen]

    writers = [write(number) for number in range(10)]
    followers = [follow(start) for start in (0, 1, 50, 100, 250, 299)]
    results = await asyncio.gather(*followers, *writers)
    for start, revisions in zip((0, 1, 50, 100, 250, 299), results, strict=False):
        assert revisions == list(range(start // 2 + 1, 301))


async def test_an_answer_comes_after_readers_can_see_it(store: Store) -> None:
    for number in range(20):
        revision = await put(store, "/a", b"%d" % number)
        found = await store.get("/a")
        assert store.revision == revision
        assert found is not None and found.revision == revision
        watch = store.watch("/", after=revision - 1)
        assert [event.revision for event in await anext(watch)] == [revision]


async def test_a_watch_from_the_future_is_refused(store: Store) -> None:
    await put(store, "/a", b"")
    watch = store.watch("/", after=2)
    await put(store, "/a", b"")
    with pytest.raises(FutureRevision):
        await anext(watch)
    with pytest.raises(FutureRevision):
        await store.list("/", revision=9)
    with pytest.raises(FutureRevision):
        await store.compact(9)


async def test_compaction_forgets_history_and_keeps_state(store: Store) -> None:
    await put(store, "/a", b"1")
    await put(store, "/b", b"1")
    await put(store, "/a", b"2")
    await delete(store, "/b")
    await put(store, "/a", b"3")
    await store.compact(4)
    assert [item.value for item in (await store.list("/")).items] == [b"3"]
    assert [item.value for item in (await store.list("/", revision=4)).items] == [b"2"]
    assert await events_until(store.watch("/", after=4), 5) == [("/a", b"3", 5, False, b"2")]
    for after in (0, 3):
        with pytest.raises(Compacted) as compacted:
            await anext(store.watch("/", after=after))
        assert (compacted.value.asked, compacted.value.oldest) == (after, 4)
    with pytest.raises(Compacted):
        await store.list("/", revision=3)
    await store.compact(2)  # less than before: nothing to do
    await store.compact(5)
    await store.defragment()
    assert [item.value for item in (await store.list("/")).items] == [b"3"]


async def test_compaction_during_a_replay_is_told(store: Store) -> None:
    for number in range(10):
        await put(store, "/a", b"%d" % number)
    watch = store.watch("/", after=2)
    await store.compact(5)
    with pytest.raises(Compacted):
        await anext(watch)
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_slow_watcher_is_dropped_and_others_are_not(store: Store) -> None:
    slow, quick = store.watch("/", after=0), store.watch("/", after=0)
    seen = 0
    for number in range(BUFFER + 1):
        await put(store, "/a", b"%d" % number)
        seen += len(await anext(quick))
    with pytest.raises(WatcherTooSlow):
        async for _ in slow:
            pass
    assert seen == BUFFER + 1


async def test_closing_ends_watches_after_what_they_hold(store: Store) -> None:
    watch, idle = store.watch("/", after=0), store.watch("/", after=0)
    await put(store, "/a", b"")

    async def drain(watch: AsyncIterator[Sequence[Event]]) -> int:
        return sum([len(batch) async for batch in watch])

    reader = asyncio.create_task(drain(idle))
    await asyncio.sleep(0)
    await store.close()
    assert await drain(watch) == 1
    assert await reader == 1
    with pytest.raises(StoreError):
        await put(store, "/a", b"")


async def test_closing_finishes_what_was_accepted(store: Store) -> None:
    tasks = [asyncio.create_task(put(store, f"/{number}", b"")) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert sorted(await asyncio.gather(*tasks)) == list(range(1, 21))


async def test_a_caller_that_leaves_does_not_undo_its_transaction(store: Store) -> None:
    task = asyncio.create_task(put(store, "/a", b"1"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await put(store, "/b", b"1")
    assert [item.key for item in (await store.list("/")).items] == ["/a", "/b"]
