"""A layer as a tar stream: decompressed, digested, and stopped when it grows too large.

What a layer unpacks to is known only when it has been unpacked; so that a small blob cannot fill the disk or
the memory on the way, the stream ends in a LayerFault when it is out of all proportion to its blob, and when
the disk has little left for everybody else.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CHUNK = 1 << 20
_LOOK_EVERY = 32 << 20
"""Bytes between two looks at the disk."""
_MAX_HEADER = 1 << 20
"""Extended headers are read into memory; real ones have some hundred bytes."""
_HEADER_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class LayerFault(Exception):
    """The layer is damaged, of an unknown kind, or tries to write outside its directory.

    `blob`: the digest that its content does not have.
    """

    def __init__(self, message: str, blob: str = "") -> None:
        super().__init__(message)
        self.blob = blob


@dataclass(frozen=True, slots=True)
class Limits:
    """`ratio` holds from `free_bytes` on; `reserve` is the share of the disk, and of its files, to leave."""

    ratio: int = 200
    free_bytes: int = 1 << 30
    reserve: float = 0.03
    entries: int = 2_000_000


class Header(tarfile.TarInfo):
    """Refuses headers that would be read into memory without end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _HEADER_TYPES and found.size > _MAX_HEADER:
            raise LayerFault(f"an extended header of {found.size} bytes")
        return found


class LayerStream:
    """Reads on; computes the SHA-256 of what was read."""

    def __init__(self, source: IO[bytes], blob_bytes: int, directory: Path, limits: Limits) -> None:
        self._source, self._sum = source, hashlib.sha256()
        self._directory, self._limits = directory, limits
        self._most = max(limits.free_bytes, limits.ratio * blob_bytes)
        self._count = 0
        self._next_look = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._sum.update(data)
        self._count += len(data)
        if self._count > self._most:
            raise LayerFault(f"it unpacks to more than {self._most} bytes, out of proportion to its size")
        if self._count >= self._next_look:
            self._next_look = self._count + _LOOK_EVERY
            self._look()
        return data

    def finish(self) -> str:
        """Reads what is left; the digest of all."""
        while self.read(CHUNK):
            continue
        return "sha256:" + self._sum.hexdigest()

    def _look(self) -> None:
        disk, least = os.statvfs(self._directory), self._limits.reserve
        if disk.f_bavail < disk.f_blocks * least or (disk.f_files and disk.f_favail < disk.f_files * least):
            raise LayerFault("no space left on device: the layer would fill the disk")


@contextmanager
def opened(blob: Path, directory: Path, limits: Limits) -> Iterator[LayerStream]:
    """The uncompressed stream of a blob that is unpacked into `directory`."""
    with blob.open("rb") as file, _decompressed(file, blob.name) as source:
        yield LayerStream(source, blob.stat().st_size, directory, limits)


@contextmanager
def _decompressed(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == _GZIP:
        with gzip.open(file) as stream:
            yield stream  # type: ignore[misc]
    elif magic == _ZSTD:
        with _unzstd(file, name) as stream:
            yield stream
    else:
        yield file


@contextmanager
def _unzstd(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """By the host's zstd: Python has it only from 3.14 on."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/bin:/usr/local/bin"
    if (tool := shutil.which("zstd", path=path)) is None:
        raise LayerFault(
            f"layer {name} is compressed with zstd: zstd not found; install with: apt-get install zstd"
        )
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # seek() may have moved in the buffer only
    process = subprocess.Popen(
        [tool, "--decompress", "--stdout", "--quiet", "--memory=128MB"],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        try:
            yield process.stdout
        except tarfile.TarError as error:
            process.stdout.close()
            if words := _words(process.stderr):
                raise LayerFault(f"layer {name} is damaged: {words}", f"sha256:{name}") from error
            raise
        if process.wait():
            raise LayerFault(f"layer {name} is damaged: {_words(process.stderr)}", f"sha256:{name}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def _words(stream: IO[bytes]) -> str:
    return stream.read(500).decode(errors="replace").strip()
