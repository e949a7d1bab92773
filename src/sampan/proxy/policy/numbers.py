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
        self._names: dict[int, str] = {}

    def of(self, name: str) -> int:
        for number in _candidates(name):
            if self._names.setdefault(number, name) == name:
                return number
        raise AssertionError("unreachable")

    def forget(self, number: int) -> None:
        self._names.pop(number, None)


def _candidates(name: str) -> Iterator[int]:
    salt = 0
    while True:
        digest = blake2b(name.encode(), digest_size=4, salt=salt.to_bytes(4, "big")).digest()
        number = int.from_bytes(digest, "big")
        if number >= FIRST_FREE:
            yield number
        salt += 1
