"""The container log format of CRI, line by line. Pure.

    2026-01-02T03:04:05.123456789+00:00 stdout F the text

`F` ends a line of the container, `P` is a part of one that was too long or has not ended yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

STREAMS = {"All": (b"stdout", b"stderr"), "Stdout": (b"stdout",), "Stderr": (b"stderr",)}
_STAMP_LENGTH = 29
"""Up to the nanoseconds: what follows is always UTC."""


class Entry(NamedTuple):
    stamp: bytes
    stream: bytes
    partial: bool
    text: bytes


def parse(line: bytes) -> Entry | None:
    """One line without its newline; None for what is no log line (a torn write after a crash)."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[2][:1] not in (b"F", b"P"):
        return None
    return Entry(parts[0], parts[1], parts[2][:1] == b"P", parts[3] if len(parts) == 4 else b"")


def stamp(epoch_s: float) -> bytes:
    """A time as it can be compared with an entry's."""
    whole = int(epoch_s)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{text}.{int((epoch_s - whole) * 1e9):09d}".encode()


@dataclass(slots=True)
class Printer:
    """Turns log lines into what `kubectl logs` prints; remembers whether it is inside of a line."""

    streams: tuple[bytes, ...] = STREAMS["All"]
    since: bytes = b""
    timestamps: bool = False
    left: int | None = None
    """Bytes that may still be printed."""
    inside: bool = False

    @property
    def full(self) -> bool:
        return self.left is not None and self.left <= 0

    def print(self, lines: Iterable[bytes]) -> bytes:
        out = b"".join(self._print(lines))
        if self.left is not None:
            out = out[: self.left]
            self.left -= len(out)
        return out

    def _print(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            entry = parse(line)
            if entry is None or entry.stream not in self.streams:
                continue
            if self.since and entry.stamp[:_STAMP_LENGTH] < self.since:
                continue
            if self.timestamps and not self.inside:
                yield entry.stamp.replace(b"+00:00", b"Z") + b" "
            yield entry.text
            self.inside = entry.partial
            if not entry.partial:
                yield b"\n"
