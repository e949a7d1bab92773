"""What a controller has done and not yet seen come back through its informers.

Between a create and its watch event the cache shows too few objects; a controller that counted them would
create twice. So it notes what it expects and does not count until that was seen or too much time has passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

TIMEOUT_S = 300.0


@dataclass(slots=True)
class _Expected:
    since_s: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)

    @property
    def fulfilled(self) -> bool:
        return self.creations <= 0 and not self.deletions


class Expectations:
    """By owner key. Deletions are known by name (any string: a Pod's key or uid), creations by number."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._expected: dict[str, _Expected] = {}

    def expect_creations(self, key: str, count: int) -> None:
        """Adds to what is expected of `key`. Call it before the creates are sent."""
        self._of(key).creations += count

    def expect_deletions(self, key: str, which: Iterable[str]) -> None:
        """Adds to what is expected of `key`. Call it before the deletes are sent."""
        self._of(key).deletions.update(which)

    def creation_observed(self, key: str) -> None:
        """One was seen, or its create has failed."""
        if (expected := self._expected.get(key)) is not None:
            expected.creations -= 1

    def deletion_observed(self, key: str, which: str) -> None:
        """It was seen going, or its delete has failed."""
        if (expected := self._expected.get(key)) is not None:
            expected.deletions.discard(which)

    def satisfied(self, key: str) -> bool:
        """Whether the cache can be trusted for `key`: all was seen, nothing was expected, or time is up."""
        expected = self._expected.get(key)
        if expected is None:
            return True
        if expected.fulfilled or self._clock() - expected.since_s > self._timeout_s:
            del self._expected[key]
            return True
        return False

    def forget(self, key: str) -> None:
        """The owner is gone."""
        self._expected.pop(key, None)

    def _of(self, key: str) -> _Expected:
        now_s = self._clock()
        expected = self._expected.get(key)
        if expected is None or expected.fulfilled:
            expected = self._expected[key] = _Expected(now_s)
        expected.since_s = now_s
        return expected
