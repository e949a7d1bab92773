"""Numbers for what has a name too long for a packet: 32 bits of the name's own hash. Pure.

The same thing has the same number in every process and on every node, so a restart changes nothing in the
kernel, and a number never comes to mean something else while packets are judged by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

FIRST_FREE = 16
"""Smaller ones mean something by themselves."""


class Numbers:
    """Two names with the same hash are told apart by a second one; the first to come keeps the first."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._taken: set[int] = set()

    def of(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = next(each for each in _candidates(name) if each not in self._taken)
            self._numbers[name] = number
            self._taken.add(number)
        return number

    def forget(self, name: str) -> None:
        self._taken.discard(self._numbers.pop(name, 0))


def _candidates(name: str) -> Iterator[int]:
    salt = 0
    while True:
        digest = blake2b(name.encode(), digest_size=4, salt=salt.to_bytes(4, "big")).digest()
        number = int.from_bytes(digest, "big")
        if number >= FIRST_FREE:
            yield number
        salt += 1
