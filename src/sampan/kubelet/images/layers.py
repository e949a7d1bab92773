"""Unpacking one image layer into a directory that overlayfs can take as a lower layer.

The tar stream is not trusted: names stay inside the directory whatever links the layer holds, device nodes
are left out, and the whole is kept only if the uncompressed stream has the digest that the image's
configuration promises. Whiteouts (image-spec, layer.md) become overlayfs' own: `.wh.X` a 0:0 character device
at X, `.wh..wh..opq` an xattr on the directory.

A layer usually brings an entry for every directory it touches, and then means the same above any other
layers. Where one is missing, the directory is made like that of the layers below (mode, owner, or the link it
is), and the result is good for this stack only: `Unpacked.depends_on_lower`.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_OPAQUE = "trusted.overlay.opaque"
_WHITEOUT, _OPAQUE_MARK, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
_XATTR = "SCHILY.xattr."
_ALLOWED_XATTRS = ("user.", "security.capability")
_CHUNK = 1 << 20
_MAX_LINKS = 40


class LayerFault(Exception):
    """The layer is damaged, of an unknown kind, or tries to write outside its directory."""


@dataclass(slots=True)
class Unpacked:
    depends_on_lower: bool = False


@dataclass(slots=True)
class _Target:
    root: Path
    lower: Sequence[Path]
    result: Unpacked = field(default_factory=Unpacked)
    times: dict[Path, float] = field(default_factory=dict)
    """Of directories; set last, since every entry in them changes it."""


class _Digesting:
    """A stream that computes the SHA-256 of what is read through it."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._sum = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._sum.update(data)
        return data

    def finish(self) -> str:
        while self.read(_CHUNK):
            continue
        return "sha256:" + self._sum.hexdigest()


def unpack(blob: Path, directory: Path, diff_id: str, lower: Sequence[Path] = ()) -> Unpacked:
    """Blocking. `directory` must be empty; `lower` are the unpacked layers below, topmost first.

    Raises LayerFault; what was written by then is the caller's to delete.
    """
    target = _Target(directory, lower)
    with blob.open("rb") as file:
        stream = _Digesting(_decompressed(file, blob.name))
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as tar:  # type: ignore[call-overload]
                for entry in tar:
                    _apply(tar, entry, target)
            found = stream.finish()
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
            raise LayerFault(f"layer {blob.name} is damaged: {error}") from error
    if found != diff_id:
        raise LayerFault(f"layer {blob.name} is damaged: it unpacks to {found}, not {diff_id}")
    for path, modified in target.times.items():
        os.utime(path, (modified, modified), follow_symlinks=False)
    return target.result


def _decompressed(file: IO[bytes], name: str) -> IO[bytes]:
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(file)  # type: ignore[return-value]
    if magic == b"\x28\xb5\x2f\xfd":
        raise LayerFault(
            f"layer {name} is compressed with zstd, which is not supported; gzip and plain tar are"
        )
    return file


def _apply(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: _Target) -> None:
    parts = _parts(entry.name)
    if not parts:
        if entry.isdir():
            _set_attributes(target.root, entry, target)
        return
    *above, name = parts
    parent = _parent(target, above)
    if name.startswith(_WHITEOUT):
        _white_out(parent, name)
        return
    path = parent / name
    if entry.ischr() or entry.isblk():
        return  # containers get their devices from the runtime
    opaque = _make_room(path, entry, target)
    if entry.isdir():
        if not path.is_dir():
            path.mkdir()
        if opaque:
            os.setxattr(path, _OPAQUE, b"y")
    elif entry.issym():
        path.symlink_to(entry.linkname)
    elif entry.islnk():
        _hard_link(target, entry, path)
        return
    elif entry.isfifo():
        os.mkfifo(path)
    elif entry.isreg():
        source = tar.extractfile(entry)
        assert source is not None
        with path.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
    else:
        raise LayerFault(f"entry {entry.name!r} has the unknown type {entry.type!r}")
    _set_attributes(path, entry, target)


def _parts(name: str) -> list[str]:
    """Absolute names are taken as relative, as everybody does; going up is nobody's need."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise LayerFault(f"entry {name!r} leaves the image")
    return parts


def _parent(target: _Target, parts: list[str]) -> Path:
    """The real directory, made if need be. Links on the way lead to what they mean inside the image."""
    done: list[str] = []
    todo = list(parts)
    links = 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        path = target.root.joinpath(*done, part)
        link = _link_at(path)
        if link is None and not path.is_dir():
            link = _inherit(target, [*done, part], path)
        if link is None:
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise LayerFault(f"too many symbolic links in {'/'.join(parts)!r}")
        if link.startswith("/"):
            done = []
        todo = [piece for piece in link.split("/") if piece not in ("", ".")] + todo
    return target.root.joinpath(*done)


def _inherit(target: _Target, parts: list[str], path: Path) -> str | None:
    """Makes a directory that the layer has no entry for, or tells the link that is there further below."""
    opaque = False
    if path.is_symlink() or path.exists():
        if not stat.S_ISCHR(path.lstat().st_mode):
            raise LayerFault(f"{'/'.join(parts)!r} is used as a directory but is a file")
        path.unlink()
        opaque = True  # the layer removed what was below; what it puts there is new
    model: os.stat_result | None = None
    for layer in () if opaque else target.lower:
        below = layer.joinpath(*parts)
        try:
            info = below.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        target.result.depends_on_lower = True
        if stat.S_ISLNK(info.st_mode):
            return str(below.readlink())
        if stat.S_ISDIR(info.st_mode):
            model = info
        break
    path.mkdir()
    if opaque:
        os.setxattr(path, _OPAQUE, b"y")
    if model is not None:
        os.chown(path, model.st_uid, model.st_gid)
        path.chmod(stat.S_IMODE(model.st_mode))
        target.times[path] = model.st_mtime
    else:
        path.chmod(0o755)
    return None


def _link_at(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def _white_out(parent: Path, name: str) -> None:
    if name == _OPAQUE_MARK:
        os.setxattr(parent, _OPAQUE, b"y")
        return
    hidden = name.removeprefix(_WHITEOUT)
    if name.startswith(_AUFS) or hidden in ("", ".", ".."):
        return  # other storage drivers' bookkeeping
    path = parent / hidden
    # A whiteout hides what is below, never what its own layer has.
    if not path.is_symlink() and not path.exists():
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(0, 0))


def _make_room(path: Path, entry: tarfile.TarInfo, target: _Target) -> bool:
    """Later entries win. Whether a directory must hide what the layers below have there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        if not entry.isdir():
            shutil.rmtree(path)
            # What takes their place may be a link to anywhere.
            target.times = {p: t for p, t in target.times.items() if p != path and path not in p.parents}
        return False
    path.unlink()
    return stat.S_ISCHR(mode)


def _hard_link(target: _Target, entry: tarfile.TarInfo, path: Path) -> None:
    *above, name = _parts(entry.linkname) or [""]
    source = _parent(target, above) / name
    try:
        if name == "" or stat.S_ISDIR(source.lstat().st_mode):
            raise LayerFault(f"hard link {entry.name!r} to the directory {entry.linkname!r}")
    except FileNotFoundError as error:
        text = f"hard link {entry.name!r} to {entry.linkname!r}, which the layer does not have"
        raise LayerFault(text) from error
    os.link(source, path, follow_symlinks=False)


def _set_attributes(path: Path, entry: tarfile.TarInfo, target: _Target) -> None:
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.issym():
        os.utime(path, (entry.mtime, entry.mtime), follow_symlinks=False)
        return
    path.chmod(entry.mode & 0o7777)  # after chown, which clears setuid
    for name, value in _xattrs(entry.pax_headers).items():
        os.setxattr(path, name, value)
    if entry.isdir():
        target.times[path] = entry.mtime
    else:
        os.utime(path, (entry.mtime, entry.mtime))


def _xattrs(headers: Mapping[str, str]) -> dict[str, bytes]:
    """Only what a container may rely on: trusted.* would speak to overlayfs."""
    return {
        name: value.encode("utf-8", "surrogateescape")
        for key, value in headers.items()
        if key.startswith(_XATTR) and (name := key.removeprefix(_XATTR)).startswith(_ALLOWED_XATTRS)
    }
