"""Reads container logs: the last lines without the rest, rotated files in order, new lines as they come.

Nothing but one chunk of one file is held in memory. A reader keeps the files open that it was promised, so a
rotation under its feet changes nothing; a follower finds the file that came after its own.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sampan.kubelet import crilog
from sampan.kubelet.crilog import Printer
from sampan.kubelet.logfiles import CHUNK_BYTES, after, chunks, files, name_now, open_part, seek_tail
from sampan.kubelet.logwatch import Changes


async def read(log: Path, printer: Printer, tail_lines: int | None = None) -> AsyncIterator[bytes]:
    """What is there now."""
    with _opened(log, printer) as parts:
        for stream in seek_tail(parts, tail_lines):
            for lines in chunks(stream):
                if out := printer.print(lines):
                    yield out
                if printer.full:
                    return
                await asyncio.sleep(0)


async def follow(
    log: Path, printer: Printer, tail_lines: int | None, changes: Changes, is_over: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """What is there, then what comes, until the container has ended and all of it was read."""
    with _opened(log, printer) as parts:
        ahead = deque(seek_tail(parts, tail_lines))
        while not ahead:
            if is_over():
                return
            await changes.wait()
            if (begun := open_part(log)) is not None:
                parts.append(begun)
                ahead.append(begun)
        pending = b""
        while True:
            current = ahead[0]
            # Asked before reading: what was written before the end is read after it.
            over, replaced = is_over(), len(ahead) > 1 or _is_replaced(current, log)
            while data := current.read(CHUNK_BYTES):
                *records, pending = (pending + data).split(b"\n")
                if out := printer.print(records):
                    yield out
                if printer.full:
                    return
                await asyncio.sleep(0)
            if replaced:
                if len(ahead) == 1 and (following := open_part(after(log, name_now(current)))) is not None:
                    parts.append(following)
                    ahead.append(following)
                if len(ahead) > 1:
                    parts.remove(ahead.popleft())
                    current.close()
                    pending = b""
            elif over:
                return
            else:
                await changes.wait()


def tail_text(log: Path, lines: int, limit: int) -> str:
    """The last lines as text, at most `limit` bytes from the end."""
    printer = Printer()
    with _opened(log, printer) as parts:
        out = b"".join(printer.print(some) for stream in seek_tail(parts, lines) for some in chunks(stream))
    return out[-limit:].decode(errors="replace")


@contextmanager
def _opened(log: Path, printer: Printer) -> Iterator[list[BinaryIO]]:
    """The log's parts, the oldest first, without those that end before the time asked for.

    Files are renamed on this loop too, so nothing comes between listing and opening but a packing.
    """
    parts: list[BinaryIO] = []
    try:
        for path in files(log):
            if (stream := open_part(path)) is None:
                continue
            parts.append(stream)
            written_s = os.fstat(stream.fileno()).st_mtime
            if printer.since and path != log and crilog.stamp(written_s + 1) < printer.since:
                parts.pop().close()
        yield parts
    finally:
        for stream in parts:
            stream.close()


def _is_replaced(stream: BinaryIO, log: Path) -> bool:
    """Whether the runtime writes to another file by now; not yet, if there is none."""
    try:
        return log.stat().st_ino != os.fstat(stream.fileno()).st_ino
    except FileNotFoundError:
        return False
