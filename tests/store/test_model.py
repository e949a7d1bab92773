"""Both stores against the simplest model there is, under operations that hypothesis thinks up."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sampan.store.contract import Compacted, Delete, Op, Put, Store, TxnConflict
from sampan.store.memory import MemoryStore
from sampan.store.sqlite import SqliteStore

T = TypeVar("T")

KEYS = st.sampled_from(["/a", "/a/", "/a/1", "/a/2", "/b/1", "/b/é", "/b/\U0010ffff"])
PREFIXES = st.sampled_from(["/", "/a", "/a/", "/b/", "/b/\U0010ffff", "/c", ""])
EXPECTATIONS = st.sampled_from(["any", "absent", "present", "wrong"])
OPS = st.lists(st.tuples(st.booleans(), KEYS, st.binary(max_size=3), EXPECTATIONS), min_size=1, max_size=4)

State = dict[str, tuple[bytes, int, int]]
"""Key -> (value, revision, created)."""


class StoreMachine(RuleBasedStateMachine):
    """`model[r]` is the whole state as of revision r; `events[r - 1]` what led there."""

    make: Callable[[Path], Store]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.model: list[State] = [{}]
        self.events: list[tuple[str, bytes, int, bool, bytes | None]] = []
        self.compacted = 0
        self.open()

    def open(self) -> None:
        self.store = type(self).make(Path(self.directory.name))
        self.run(self.store.open())
        self.live = self.store.watch("/a", after=len(self.events))
        self.live_from = len(self.events)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 30))

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.directory.cleanup()

    @rule(txns=st.lists(OPS, min_size=1, max_size=3))
    def write(self, txns: list[list[tuple[bool, str, bytes, str]]]) -> None:
        """Hands in several transactions at once; they take effect in the order of handing in."""
        plans = [self.plan(txn) for txn in txns]

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*(self.store.txn(ops) for ops, _ in plans), return_exceptions=True)

        for (_, expected), answer in zip(plans, self.run(all_at_once()), strict=True):
            if expected is None:
                assert isinstance(answer, TxnConflict)
            else:
                assert answer == expected

    def plan(self, txn: list[tuple[bool, str, bytes, str]]) -> tuple[list[Op], list[int] | None]:
        """The operations, and what the model says they answer (None: conflict); moves the model on."""
        state, model, events = dict(self.model[-1]), list(self.model), list(self.events)
        ops: list[Op] = []
        answers: list[int] | None = []
        for is_delete, key, value, expectation in txn:
            now = state.get(key)
            present = now[1] if now else 0
            expect = {"any": None, "absent": 0, "present": present, "wrong": present + 1}[expectation]
            ops.append(Delete(key, value, expect) if is_delete else Put(key, value, expect))
            if answers is None:
                continue
            if expect is not None and expect != present:
                answers = None
            elif is_delete and now is None:
                answers.append(0)
            else:
                revision = len(events) + 1
                if is_delete:
                    del state[key]
                else:
                    state[key] = (value, revision, now[2] if now else revision)
                events.append((key, value, revision, is_delete, now[0] if now else None))
                model.append(dict(state))
                answers.append(revision)
        if answers is not None:
            self.model, self.events = model, events
        return ops, answers

    @rule(prefix=PREFIXES, back=st.integers(0, 8), limit=st.integers(0, 3), after=st.just("") | KEYS)
    def list(self, prefix: str, back: int, limit: int, after: str) -> None:
        revision = max(len(self.events) - back, 0)
        if revision and revision < self.compacted:
            with pytest.raises(Compacted):
                self.run(self.store.list(prefix, revision=revision))
            return
        listing = self.run(self.store.list(prefix, revision=revision, limit=limit, after=after))
        state = self.model[revision or len(self.events)]
        expected = [
            (key, *state[key])
            for key in sorted(state, key=lambda key: key.encode())
            if key.startswith(prefix) and key > after
        ]
        shown = expected[:limit] if limit else expected
        assert listing.items == shown
        assert listing.remaining == len(expected) - len(shown)
        assert listing.revision == (revision or len(self.events))

    @rule(prefix=PREFIXES, back=st.integers(1, 12))
    def replay(self, prefix: str, back: int) -> None:
        after = max(len(self.events) - back, 0)
        if after < self.compacted:
            with pytest.raises(Compacted):
                self.run(anext(self.store.watch(prefix, after=after)))
            return
        expected = [event for event in self.events[after:] if event[0].startswith(prefix)]
        assert self.run(self.read(self.store.watch(prefix, after=after), len(expected))) == expected

    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        revision = max(len(self.events) - back, 0)
        self.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @precondition(lambda self: isinstance(self.store, SqliteStore))
    @rule()
    def reopen(self) -> None:
        self.check_live()
        self.run(self.store.close())
        self.open()

    @invariant()
    def revisions_agree(self) -> None:
        assert self.store.revision == len(self.events)

    @rule()
    def check_live(self) -> None:
        expected = [event for event in self.events[self.live_from :] if event[0].startswith("/a")]
        assert self.run(self.read(self.live, len(expected))) == expected
        self.live_from = len(self.events)

    async def read(self, watch: Any, count: int) -> list[Any]:
        seen: list[Any] = []
        while len(seen) < count:
            seen += await anext(watch)
        return seen


class MemoryMachine(StoreMachine):
    make = staticmethod(lambda directory: MemoryStore())


class SqliteMachine(StoreMachine):
    make = staticmethod(lambda directory: SqliteStore(directory / "store.db"))


@pytest.mark.parametrize("machine", [MemoryMachine, SqliteMachine])
def test_a_store_does_as_the_model_does(machine: type[StoreMachine]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
