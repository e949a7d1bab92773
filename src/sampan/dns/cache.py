"""Others' answers, kept for as long as they say, or the configuration allows if that is shorter.

Two shelves, what is there and what is denied, so that a flood of names that do not exist pushes no name out
that does. What was asked for least recently goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sampan.dns.config import Keeping
from sampan.dns.question import Query
from sampan.dns.reply import Reply
from sampan.dns.wire import CD

LEAST_S = 5
"""Nothing that may be kept at all is kept for less, as CoreDNS has it."""
PREFETCH_SHARE = 0.1
"""How much of its time has to be left when a popular answer is fetched anew."""
STALE_TTL_S = 0


@dataclass(slots=True)
class Kept:
    reply: Reply
    since_s: float
    keep_s: float
    asked: int = 0

    def age_s(self, now_s: float) -> int:
        return int(now_s - self.since_s)

    def left_s(self, now_s: float) -> float:
        return self.since_s + self.keep_s - now_s


def key_of(query: Query) -> tuple[bytes, bool, bool]:
    """What makes two questions the same: name, type, class, and whether signatures are wanted or checked."""
    name = query.question[:-4].lower()
    return name + query.question[-4:], query.dnssec, bool(query.flags & CD)


class Cache:
    """`clock`: seconds that never go back."""

    def __init__(self, plan: Keeping, clock: Callable[[], float]) -> None:
        self._plan, self._clock = plan, clock
        self._shelves: dict[bool, OrderedDict[object, Kept]] = {False: OrderedDict(), True: OrderedDict()}
        self.hits = {False: 0, True: 0}
        """By whether it was a denial."""
        self.misses = 0

    def sizes(self) -> dict[bool, int]:
        return {denies: len(shelf) for denies, shelf in self._shelves.items()}

    def find(self, query: Query) -> Kept | None:
        """What is still good, or may be served stale."""
        key, now_s = key_of(query), self._clock()
        for denies, shelf in self._shelves.items():
            kept = shelf.get(key)
            if kept is None:
                continue
            if kept.left_s(now_s) + self._plan.stale_s <= 0:
                del shelf[key]
                continue
            shelf.move_to_end(key)
            kept.asked += 1
            self.hits[denies] += 1
            return kept
        self.misses += 1
        return None

    def is_due(self, kept: Kept) -> bool:
        """Whether the answer should be fetched anew while this one is given."""
        left_s = kept.left_s(self._clock())
        if left_s <= 0:
            return True
        popular = 0 < self._plan.prefetch <= kept.asked
        return popular and left_s < PREFETCH_SHARE * kept.keep_s

    def age_of(self, kept: Kept) -> tuple[int, int | None]:
        """(seconds by which its TTLs are less, TTL at most or None)."""
        now_s = self._clock()
        if kept.left_s(now_s) <= 0:
            return 0, STALE_TTL_S
        return kept.age_s(now_s), max(0, int(kept.left_s(now_s)))

    def keep(self, query: Query, reply: Reply) -> None:
        most_s = self._plan.denial_s if reply.denies else self._plan.success_s
        if not reply.ttl_s or not most_s:
            return
        key = key_of(query)
        self._shelves[not reply.denies].pop(key, None)
        shelf = self._shelves[reply.denies]
        shelf[key] = Kept(reply, self._clock(), min(most_s, max(LEAST_S, reply.ttl_s)))
        shelf.move_to_end(key)
        if len(shelf) > (self._plan.denial_most if reply.denies else self._plan.success_most):
            shelf.popitem(last=False)
