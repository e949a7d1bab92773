"""Reads container logs: the last lines without the rest, rotated files in order, new lines as they come.

A file `0.log` that has grown too long is renamed to `0.log.20260102-030405` and a new `0.log` begun; a reader
holds the old file open and goes on with the new one when the old is used up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from sampan.kubelet.crilog import Printer, parse
from sampan.kubelet.runtime import libc

CHUNK_BYTES = 64 * 1024
_IN_MODIFY, _IN_CREATE = 0x2, 0x100


class Changes:
    """Wakes a reader when a log grows, is replaced, or `touch` says that its container has ended."""

    def __init__(self, path: Path) -> None:
        self._event = asyncio.Event()
        self._fd = libc.inotify()
        libc.inotify_add(self._fd, str(path.parent), _IN_MODIFY | _IN_CREATE | libc.IN_MOVED_TO)
        asyncio.get_running_loop().add_reader(self._fd, self._heard)

    def touch(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _heard(self) -> None:
        os.read(self._fd, 1 << 16)
        self._event.set()


def files(log: Path) -> list[Path]:
    """All parts of a log that are there, the oldest first."""
    rotated = sorted(log.parent.glob(f"{log.name}.*"))
    return [*rotated, log] if log.exists() else rotated


async def read(log: Path, printer: Printer, tail_lines: int | None = None) -> AsyncIterator[bytes]:
    """What is there now."""
    for path, offset in _tail(files(log), tail_lines):
        with path.open("rb") as stream:
            stream.seek(offset)
            for chunk in _chunks(stream):
                if out := printer.print(chunk):
                    yield out
                if printer.full:
                    return
                await asyncio.sleep(0)


async def follow(
    log: Path, printer: Printer, tail_lines: int | None, changes: Changes, is_over: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """What is there, then what comes, until the container has ended and all of it was read."""
    parts = files(log)
    starts = list(_tail(parts, tail_lines)) or [(log, 0)]
    for path, offset in starts[:-1]:
        with path.open("rb") as stream:
            stream.seek(offset)
            for chunk in _chunks(stream):
                yield printer.print(chunk)
    path, offset = starts[-1]
    while not path.exists():
        if is_over():
            return
        await changes.wait()
    stream = path.open("rb")
    try:
        stream.seek(offset)
        pending = b""
        while not printer.full:
            # Asked before reading: what was written before the end is read after it.
            over = is_over()
            replaced = _inode(log) not in (0, os.fstat(stream.fileno()).st_ino)
            while data := stream.read(CHUNK_BYTES):
                *lines, pending = (pending + data).split(b"\n")
                if out := printer.print(lines):
                    yield out
                if printer.full:
                    return
            if replaced:
                stream.close()
                stream, pending = log.open("rb"), b""
            elif over:
                return
            else:
                await changes.wait()
    finally:
        stream.close()


def tail_text(log: Path, lines: int, limit: int) -> str:
    """The last lines as text, at most `limit` bytes from the end."""
    printer = Printer()
    out = b""
    for path, offset in _tail(files(log), lines):
        with path.open("rb") as stream:
            stream.seek(offset)
            out += b"".join(printer.print(chunk) for chunk in _chunks(stream))
    return out[-limit:].decode(errors="replace")


def _tail(parts: list[Path], lines: int | None) -> Iterator[tuple[Path, int]]:
    """(file, offset) of every part from which to read the last `lines` lines, the oldest first."""
    if lines is None:
        yield from ((path, 0) for path in parts)
        return
    chosen: list[tuple[Path, int]] = []
    for path in reversed(parts):
        with path.open("rb") as stream:
            offset, found = _seek(stream, lines)
        chosen.append((path, offset))
        lines -= found
        if lines <= 0:
            break
    yield from reversed(chosen)


def _seek(stream: BinaryIO, lines: int) -> tuple[int, int]:
    """(offset where the last `lines` lines begin, how many there are from it)."""
    position = stream.seek(0, os.SEEK_END)
    if lines <= 0:
        return position, 0
    tail, found = b"", 0
    while position > 0:
        step = min(CHUNK_BYTES, position)
        position -= step
        stream.seek(position)
        tail = stream.read(step) + tail
        complete = tail.partition(b"\n")[2] if position else tail
        ends = [record for record in complete.split(b"\n") if (entry := parse(record)) and not entry.partial]
        if len(ends) > lines or (position == 0 and len(ends) >= lines):
            return _start(complete, position + len(tail) - len(complete), lines), lines
        found = len(ends)
    return 0, found


def _start(text: bytes, base: int, lines: int) -> int:
    """Where the last `lines` whole lines of `text` begin; partial records belong to the line they precede."""
    records = text.split(b"\n")
    offset = len(text)
    for record in reversed(records):
        entry = parse(record)
        if entry is not None and not entry.partial:
            if lines == 0:
                break
            lines -= 1
        offset -= len(record) + 1
    return base + max(offset + 1, 0)


def _chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Complete lines, a chunk at a time."""
    pending = b""
    while data := stream.read(CHUNK_BYTES):
        *lines, pending = (pending + data).split(b"\n")
        yield lines


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
