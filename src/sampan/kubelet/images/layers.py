"""Unpacking one image layer into a directory that overlayfs can take as a lower layer.

The tar stream is not trusted: names stay inside the directory whatever links the layer holds, device nodes
are left out, its size has limits (`layerstream`), and the whole is kept only if the uncompressed stream has
the digest that the image's configuration promises. Whiteouts (image-spec, layer.md) become overlayfs' own:
`.wh.X` a 0:0 character device at X, `.wh..wh..opq` an xattr on the directory.

A layer usually brings an entry for every directory it touches, and then means the same above any other
layers. Where one is missing, the directory is made like that of the layers below (mode, owner, or the link it
is), and the result is good for this stack only: `Unpacked.depends_on_lower`.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sampan.kubelet.images import layerstream
from sampan.kubelet.images.layerstream import CHUNK, Header, LayerFault, Limits

_OPAQUE = "trusted.overlay.opaque"
_WHITEOUT, _OPAQUE_MARK, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
_XATTR = "SCHILY.xattr."
_CAPABILITY = "security.capability"
_MAX_LINKS = 40
_MAX_NAME = 4096
_MAX_ID = 2**32 - 2
_TIMES = (-(2**31), 2**33)
_ZEROS = bytes(CHUNK)
_DAMAGE = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error)
_NONSENSE = (ValueError, OverflowError, RecursionError)
"""What numbers and names that no file can have raise on the way to the kernel."""


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


def unpack(
    blob: Path, directory: Path, diff_id: str, lower: Sequence[Path] = (), limits: Limits | None = None
) -> Unpacked:
    """Blocking. `directory` must be empty; `lower` are the unpacked layers below, topmost first.

    Raises LayerFault; what was written by then is the caller's to delete.
    """
    target = _Target(directory, lower)
    limits = limits or Limits()
    digest = f"sha256:{blob.name}"
    try:
        with layerstream.opened(blob, directory, limits) as stream:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK, tarinfo=Header) as tar:  # type: ignore[call-overload]
                for count, entry in enumerate(_entries(tar)):
                    if count >= limits.entries:
                        raise LayerFault(f"more than {limits.entries} entries")
                    _apply(tar, entry, target)
            found = stream.finish()
    except _DAMAGE as error:
        raise LayerFault(f"layer {blob.name} is damaged: {error}", digest) from error
    except _NONSENSE as error:
        raise LayerFault(f"layer {blob.name} has an entry that makes no sense: {error}") from error
    except FileNotFoundError as error:
        raise LayerFault(f"layer {blob.name} is missing", digest) from error
    except LayerFault as fault:
        if blob.name in str(fault):
            raise
        raise LayerFault(f"layer {blob.name} is refused: {fault}", fault.blob) from fault
    if found != diff_id:
        raise LayerFault(f"layer {blob.name} is damaged: it unpacks to {found}, not {diff_id}", digest)
    for path, modified in target.times.items():
        os.utime(path, (modified, modified), follow_symlinks=False)
    return target.result


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One by one; the list that tarfile keeps of them would grow with the layer."""
    while (entry := tar.next()) is not None:
        yield entry
        tar.members.clear()  # type: ignore[attr-defined]


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
            _copy(source, file, entry)
    else:
        raise LayerFault(f"entry {entry.name!r} has the unknown type {entry.type!r}")
    _set_attributes(path, entry, target)


def _copy(source: IO[bytes], file: IO[bytes], entry: tarfile.TarInfo) -> None:
    """Holes stay holes, and long runs of zeros become some."""
    sparse: Sequence[tuple[int, int]] | None = getattr(entry, "sparse", None)
    if sparse:
        source = source.raw  # type: ignore[attr-defined]  # its buffer would have the stream seek
    for offset, size in sparse or ((0, entry.size),):
        if sparse:
            source.seek(offset)
        file.seek(offset)
        left = size
        while left and (data := source.read(min(left, CHUNK))):
            left -= len(data)
            if data == _ZEROS:
                file.seek(len(data), os.SEEK_CUR)
            else:
                file.write(data)
        if left:
            raise LayerFault(f"{entry.name!r} ends early")
    file.truncate(entry.size)


def _parts(name: str) -> list[str]:
    """Absolute names are taken as relative, as everybody does; going up is nobody's need."""
    if len(name) > _MAX_NAME:
        raise LayerFault(f"a name of {len(name)} characters")
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
    if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
        raise LayerFault(f"{entry.name!r} belongs to {entry.uid}:{entry.gid}")
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    modified = min(max(float(entry.mtime), _TIMES[0]), _TIMES[1])
    if entry.issym():
        os.utime(path, (modified, modified), follow_symlinks=False)
        return
    path.chmod(entry.mode & 0o7777)  # after chown, which clears setuid
    for name, value in _xattrs(entry.pax_headers).items():
        try:
            os.setxattr(path, name, value)
        except OSError as error:
            # A file system without user.* loses them as everywhere; a lost capability would be a lost right.
            if name == _CAPABILITY or error.errno != errno.ENOTSUP:
                raise
    if entry.isdir():
        target.times[path] = modified
    else:
        os.utime(path, (modified, modified))


def _xattrs(headers: Mapping[str, str]) -> dict[str, bytes]:
    """Only what a container may rely on: trusted.* and user.overlay.* would speak to overlayfs."""
    return {
        name: value.encode("utf-8", "surrogateescape")
        for key, value in headers.items()
        if key.startswith(_XATTR) and _is_kept(name := key.removeprefix(_XATTR))
    }


def _is_kept(xattr: str) -> bool:
    return xattr == _CAPABILITY or (xattr.startswith("user.") and not xattr.startswith("user.overlay."))
