"""The files that a container's log consists of, and where in them its last lines begin.

    0.log.20260102-030405.gz  0.log.20260102-040506  0.log

A file that has grown too long is renamed, a new one begun; at the next turn the renamed one is packed. What
is packed is written under another name first, so a file is either there in full or not at all.
"""

from __future__ import annotations

import gzip
import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from sampan.kubelet.crilog import parse

CHUNK_BYTES = 64 * 1024
PACKED = ".gz"
UNFINISHED = ".tmp"


def files(log: Path) -> list[Path]:
    """All parts of a log that are there, the oldest first."""
    rotated = {_stem(path): path for path in sorted(log.parent.glob(f"{log.name}.*"), reverse=True)}
    listed = [rotated[stem] for stem in sorted(rotated) if not stem.endswith(UNFINISHED)]
    return [*listed, log] if log.exists() else listed


def after(log: Path, name: str) -> Path:
    """The part that follows the one that was called so, whether it is still there or not."""
    stem = name.removesuffix(PACKED)
    later = (path for path in files(log) if path != log and _stem(path) > stem != log.name)
    return next(later, log)


def open_part(path: Path) -> BinaryIO | None:
    """Packed or not, and also where it has been packed since it was listed. None: gone."""
    plain = path.with_name(_stem(path))
    try:
        return plain.open("rb")
    except FileNotFoundError:
        pass  # then it must be packed
    try:
        return cast(BinaryIO, gzip.open(plain.with_name(plain.name + PACKED), "rb"))
    except FileNotFoundError:
        return None


def name_now(stream: BinaryIO) -> str:
    """What an open part is called by now; what it was called last, if it is gone."""
    if isinstance(stream, gzip.GzipFile):
        return Path(str(stream.name)).name
    link = Path(f"/proc/self/fd/{stream.fileno()}").readlink()
    return link.name.removesuffix(" (deleted)")


def seek_tail(parts: Sequence[BinaryIO], lines: int | None) -> Sequence[BinaryIO]:
    """Those parts in which the last `lines` lines are, each at the place from which to read."""
    if lines is None:
        return parts
    for number in range(len(parts) - 1, -1, -1):
        stream = parts[number]
        offset, found = (
            _packed_tail(stream, lines) if isinstance(stream, gzip.GzipFile) else _tail(stream, lines)
        )
        stream.seek(offset)
        lines -= found
        if lines <= 0:
            return parts[number:]
    return parts


def chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Complete lines, a chunk at a time."""
    pending = b""
    while data := stream.read(CHUNK_BYTES):
        *lines, pending = (pending + data).split(b"\n")
        yield lines


def _tail(stream: BinaryIO, lines: int) -> tuple[int, int]:
    """(offset where the last `lines` lines begin, how many there are from it)."""
    if lines <= 0:
        return stream.seek(0, os.SEEK_END), 0
    found = 0
    for end, record in _backwards(stream):
        if _ends_line(record):
            if found == lines:
                return end + 1, found
            found += 1
    return 0, found


def _packed_tail(stream: BinaryIO, lines: int) -> tuple[int, int]:
    """The same where one can only go forward; what is kept are places, not lines."""
    ends: deque[int] = deque(maxlen=lines + 1)
    offset = 0
    for record in stream:
        offset += len(record)
        if _ends_line(record):
            ends.append(offset)
    return (ends[0], lines) if len(ends) > lines else (0, len(ends))


def _backwards(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(where it ends, record), the last first, reading no more than is asked for."""
    position = stream.seek(0, os.SEEK_END)
    rest = b""  # the end of a record whose beginning lies before `position`
    while position:
        step = min(CHUNK_BYTES, position)
        position -= step
        stream.seek(position)
        text = stream.read(step) + rest
        rest = text[: text.find(b"\n") + 1] or text if position else b""
        end = position + len(text)
        for record in reversed(text[len(rest) :].split(b"\n")):
            yield end, record
            end -= len(record) + 1


def _ends_line(record: bytes) -> bool:
    """Parts of a line that was cut belong to the record that ends it."""
    return (entry := parse(record)) is not None and not entry.partial


def _stem(path: Path) -> str:
    return path.name.removesuffix(PACKED)
