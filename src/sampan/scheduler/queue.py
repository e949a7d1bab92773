"""Pods that wait for a node: those to try now, those that back off, those that wait for a change.

All of it belongs to the scheduler's one task and the informers' handlers, on one loop; only `get` awaits.
A Pod (by uid) is in exactly one of `_active`, `_backoff`, `_waiting`, or with the scheduler between `get` and
`failed` or `forget`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from sampan.api.objects import Obj, uid_of

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 10.0


@dataclass(slots=True)
class Entry:
    """A Pod in the queue. `blockers` are the filters that objected when it was last tried."""

    pod: Obj
    tries: int = 0
    not_before_s: float = 0.0
    blockers: frozenset[str] = frozenset()


@dataclass(order=True, slots=True)
class _Place:
    """Higher priority first, then who came first."""

    priority: int
    number: int
    uid: str = field(compare=False)


class SchedulingQueue:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        """Every Pod the queue knows, also the one that is being tried."""
        self._heap: list[_Place] = []
        """May name Pods that have left `_active` since; `_let_overtake` skips them."""
        self._active: set[str] = set()
        self._backoff: dict[str, asyncio.TimerHandle] = {}
        self._late: list[_Place] = []
        """Those in `_backoff` that a change woke; may name others too, which are skipped."""
        self._waiting: set[str] = set()
        self._changes = 0
        """Counts wake-ups, so that a change during a try is not missed by the Pod being tried."""
        self._tried_at: dict[str, int] = {}
        self._numbers = itertools.count()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, pod: Obj) -> None:
        """A new Pod, or a new state of one that is known; a change of it is worth a try at once."""
        uid = uid_of(pod)
        entry = self._entries.get(uid)
        if entry is None:
            self._entries[uid] = Entry(pod)
            self._activate(uid)
            return
        entry.pod = pod
        self._tried_at.pop(uid, None)  # what a try that is under way finds may be wrong already
        if uid in self._waiting:
            self._release(uid)

    def update(self, pod: Obj) -> None:
        """A new state that changes nothing for scheduling (a condition, an annotation)."""
        if (entry := self._entries.get(uid_of(pod))) is not None:
            entry.pod = pod

    def forget(self, uid: str) -> None:
        """Bound, deleted, or none of ours any more."""
        self._entries.pop(uid, None)
        self._active.discard(uid)
        self._waiting.discard(uid)
        self._tried_at.pop(uid, None)
        if (timer := self._backoff.pop(uid, None)) is not None:
            timer.cancel()

    async def get(self) -> Entry:
        while True:
            self._let_overtake()
            if self._heap:
                uid = heapq.heappop(self._heap).uid
                self._active.remove(uid)
                self._tried_at[uid] = self._changes
                return self._entries[uid]
            self._filled.clear()
            await self._filled.wait()

    def failed(self, pod: Obj, blockers: frozenset[str], *, backs_off: bool = True) -> None:
        """It fits nowhere (or, without blockers, its bind failed): try again when that may have changed.

        `backs_off=False`: at once then; for what changes once and to the purpose.
        """
        uid = uid_of(pod)
        entry = self._entries.get(uid)
        if entry is None or uid in self._active:
            return
        entry.tries += 1
        entry.blockers = blockers
        pause_s = min(FIRST_BACKOFF_S * 2.0 ** (entry.tries - 1), LONGEST_BACKOFF_S)
        entry.not_before_s = self._clock() + pause_s if backs_off else 0.0
        if blockers and self._tried_at.pop(uid, -1) == self._changes:
            self._waiting.add(uid)
        else:
            self._release(uid)

    def wake(self, helps: Callable[[Entry], bool] = lambda _: True) -> None:
        """Something has changed: the waiting Pods that it `helps` are tried again, after their back-off."""
        self._changes += 1
        for uid in [uid for uid in self._waiting if helps(self._entries[uid])]:
            self._waiting.discard(uid)
            self._release(uid)

    def _release(self, uid: str) -> None:
        self._waiting.discard(uid)
        pause_s = self._entries[uid].not_before_s - self._clock()
        if pause_s <= 0:
            self._activate(uid)
        elif uid not in self._backoff:
            loop = asyncio.get_running_loop()
            self._backoff[uid] = loop.call_later(pause_s, self._backed_off, uid)
            if self._entries[uid].blockers:
                heapq.heappush(self._late, self._place(uid))
            if len(self._late) > 2 * len(self._backoff):
                self._late = [self._place(each) for each in self._backoff if self._entries[each].blockers]
                heapq.heapify(self._late)

    def _let_overtake(self) -> None:
        """Makes the first of `_heap` the one to try next.

        Back-off does not turn priorities round: what a Pod waits for must not go to a lesser one meanwhile.
        It is tried early once for each change that woke it, so a busy cluster makes no busy loop.
        """
        while self._heap and self._heap[0].uid not in self._active:
            heapq.heappop(self._heap)
        while self._late and self._heap and self._late[0].priority < self._heap[0].priority:
            uid = heapq.heappop(self._late).uid
            if (timer := self._backoff.pop(uid, None)) is not None:
                timer.cancel()
                self._activate(uid)

    def _backed_off(self, uid: str) -> None:
        del self._backoff[uid]
        self._activate(uid)

    def _activate(self, uid: str) -> None:
        self._active.add(uid)
        heapq.heappush(self._heap, self._place(uid))
        self._filled.set()

    def _place(self, uid: str) -> _Place:
        priority = self._entries[uid].pod["spec"].get("priority") or 0
        return _Place(-priority, next(self._numbers), uid)
