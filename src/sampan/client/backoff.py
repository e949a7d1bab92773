"""How long to wait before the next try: doubling, bounded, and spread so that many do not come at once."""

from __future__ import annotations

import random


class Backoff:
    """Delays of `first_s`, doubled each time up to `longest_s`, each between half and all of that."""

    def __init__(self, first_s: float = 0.05, longest_s: float = 30.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def next_s(self) -> float:
        delay_s = self._next_s
        self._next_s = min(delay_s * 2, self._longest_s)
        return delay_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        self._next_s = self._first_s
