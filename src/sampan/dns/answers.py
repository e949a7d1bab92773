"""Answers kept as bytes: a question that was asked before costs one look into a dict.

A key is a whole query but for its first two bytes (the id), its name in lower case. What lies there is the
whole answer but for its id. Only answers of the zone are kept; when a name changes, those that rest on it go
in the same turn, so that no answer is older than the last change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle

from sampan.dns.message import build_answer
from sampan.dns.question import Query
from sampan.dns.wire import CNAME, HEADER_BYTES
from sampan.dns.zone import Answer

KEPT_MOST, KEPT_BYTES = 4096, 4 << 20
QUESTION_BYTES = 300
"""A whole query with the longest name and an OPT record; what is longer is padded."""
ROTATIONS_MOST = 16
"""Of an answer with many records so many beginnings are kept; who asks gets one after the other."""


class Entry:
    """One kept answer. `wire` is what the next asker gets, `turn` gives the one after (None: the same).

    `asked`: how often, by IPv4 and by IPv6, since it was last counted.
    """

    __slots__ = ("asked", "names", "question", "rcode", "request_bytes", "size", "turn", "type", "wire")

    def __init__(self, query: Query, request_bytes: int, wires: list[bytes], names: Sequence[str]) -> None:
        self.turn: Callable[[], bytes] | None = None
        if len(wires) > 1:
            self.turn = cycle([*wires[1:], wires[0]]).__next__
        self.wire = self.turn() if self.turn else wires[0]
        self.asked = [0, 0]
        self.names = names
        self.question = len(query.question)
        self.request_bytes = request_bytes
        self.size = sum(map(len, wires))
        self.type = query.type
        self.rcode = self.wire[1] & 15


class Answers:
    """At most KEPT_MOST, in KEPT_BYTES; the oldest go for a new one. `gone` is told of each that goes."""

    def __init__(self, gone: Callable[[Entry], None]) -> None:
        self.kept: dict[bytes, Entry] = {}
        self._keys: dict[str, set[bytes]] = {}
        self._gone = gone
        self._bytes = 0

    def find_spelt(self, packet: bytes) -> tuple[Entry, bytes] | None:
        """The entry for a query with capital letters in its name, and the answer in its own spelling."""
        end = packet.find(b"\x00", HEADER_BYTES)
        entry = self.kept.get(_key(packet, end))
        if entry is None:
            return None
        after = HEADER_BYTES - 2 + entry.question
        wire = entry.wire[: HEADER_BYTES - 2] + packet[HEADER_BYTES : after + 2] + entry.wire[after:]
        return entry, wire

    def keep(self, packet: bytes, query: Query, answer: Answer, limit: int | None) -> bytes:
        """The answer as bytes, id and all; kept for whoever asks the same again."""
        if query.options or len(packet) > QUESTION_BYTES:  # a cookie, say: nobody else sends the same
            return encode(query, answer, limit)
        wires = [wire[2:] for wire in _turns(query, answer, limit, ROTATIONS_MOST)]
        entry = Entry(query, len(packet), wires, (query.name, *answer.rests_on))
        key = _key(packet, packet.find(b"\x00", HEADER_BYTES))
        if key in self.kept:
            self._drop(key)
        self._bytes += entry.size
        while self.kept and (len(self.kept) >= KEPT_MOST or self._bytes > KEPT_BYTES):
            self._drop(next(iter(self.kept)))
        self.kept[key] = entry
        for name in entry.names:
            self._keys.setdefault(name, set()).add(key)
        return packet[:2] + wires[0]

    def forget(self, names: Iterable[str]) -> None:
        """Everything that rests on one of these names."""
        for name in names:
            for key in tuple(self._keys.get(name, ())):
                self._drop(key)

    def clear(self) -> None:
        for key in tuple(self.kept):
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        entry = self.kept.pop(key)
        self._bytes -= entry.size
        for name in set(entry.names):
            keys = self._keys[name]
            keys.discard(key)
            if not keys:
                del self._keys[name]
        self._gone(entry)


def encode(query: Query, answer: Answer, limit: int | None) -> bytes:
    """An answer that is not kept."""
    return next(_turns(query, answer, limit, 1))


def _turns(query: Query, answer: Answer, limit: int | None, most: int) -> Iterator[bytes]:
    """The answer, beginning with one record after the other; aliases stay in front."""
    aliases = [record for record in answer.answers if record.type == CNAME]
    ring = [record for record in answer.answers if record.type != CNAME]
    for start in random.sample(range(len(ring)), min(len(ring), most)) if len(ring) > 1 else (0,):
        answers = (*aliases, *ring[start:], *ring[:start])
        yield build_answer(query, answer.rcode, answers, answer.authority, answer.additional, limit=limit)


def _key(packet: bytes, end: int) -> bytes:
    return packet[2:HEADER_BYTES] + packet[HEADER_BYTES:end].lower() + packet[end:]
