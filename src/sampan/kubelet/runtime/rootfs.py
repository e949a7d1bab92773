"""A container's root file system: image layers below, a writable layer of its own on top (overlayfs)."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from sampan.kubelet.runtime import idmap, libc, mounts, oneshot
from sampan.kubelet.runtime.contract import RuntimeFault

# mount(2) takes one page of options and cuts the rest off without a word.
_MAX_OPTIONS = 4095
_MAX_TEXT = 4 << 20


def options(lower_dirs: Sequence[str], upper: str = "", work: str = "") -> str:
    """`volatile`: nothing here is worth a sync of the disk when it is unmounted."""
    lower = ":".join(_escape(path) for path in lower_dirs)
    written = f",upperdir={_escape(upper)},workdir={_escape(work)},volatile" if upper else ""
    return f"lowerdir={lower}{written}"


async def mount(bundle: Path, lower_dirs: Sequence[str], *, user: str = "", first_id: int = 0) -> Path:
    """Mounts BUNDLE/rootfs. Raises RuntimeFault("CreateContainerError").

    `user`: the user namespace that sees the image's owners as its own; `first_id` is its root on the node.
    """
    upper, work, root = bundle / "upper", bundle / "work", bundle / "rootfs"
    if not lower_dirs:
        raise RuntimeFault("CreateContainerError", "the image has no layers")
    for directory in (upper, work, root):
        directory.mkdir()
    # The container's / is the upper directory: as the image has it, not as our umask would.
    image = Path(lower_dirs[0]).stat()
    os.chown(upper, first_id + image.st_uid, first_id + image.st_gid)
    upper.chmod(stat.S_IMODE(image.st_mode))
    try:
        if user:
            with idmap.trees(lower_dirs, user) as mapped:
                await _mount_overlay(root, mapped, str(upper), str(work))
        else:
            await _mount_overlay(root, lower_dirs, str(upper), str(work))
    except OSError as error:
        text = f"failed to mount the container's root: {error.strerror}"
        raise RuntimeFault("CreateContainerError", text) from error
    return root


async def mount_layers(root: Path, lower_dirs: Sequence[str], flags: int) -> None:
    """The layers alone, to be read, at `root`, which exists. Raises OSError."""
    lower = list(lower_dirs)
    if len(lower) < 2:
        # overlayfs wants two directories at least; an empty one adds nothing.
        beside = root.with_name(f"{root.name}.empty")
        beside.mkdir(exist_ok=True)
        lower.append(str(beside))
    await _mount_overlay(root, lower, flags=flags | libc.MS_RDONLY)


async def _mount_overlay(
    root: Path, lower_dirs: Sequence[str], upper: str = "", work: str = "", *, flags: int = 0
) -> None:
    data = options(lower_dirs, upper, work)
    if len(os.fsencode(data)) <= _MAX_OPTIONS:
        # Milliseconds in the kernel, in which the event loop has other Pods to serve.
        await asyncio.to_thread(libc.mount, "overlay", str(root), "overlay", flags, data)
        return
    # Too many layers for one page: name them relative to their common directory.
    common = os.path.commonpath(lower_dirs)
    data = options([os.path.relpath(path, common) for path in lower_dirs], upper, work)
    if len(os.fsencode(data)) > _MAX_OPTIONS:
        raise OSError(errno.E2BIG, f"{len(lower_dirs)} image layers are more than overlayfs can mount")

    def act() -> None:
        libc.unshare(libc.CLONE_FS)
        os.chdir(common)
        libc.mount("overlay", str(root), "overlay", flags, data)

    await oneshot.call(act)


def discard(bundle: Path) -> None:
    """Unmounts and deletes everything of the container. Idempotent; blocking."""
    mounts.detach(bundle / "rootfs")
    try:
        shutil.rmtree(bundle)
    except FileNotFoundError:
        return


def read_text(root: Path, path: str) -> str:
    """A file of the image, links followed only inside it; "" if there is none."""
    try:
        fd = libc.open_in_root(str(root), path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
            return ""
        raise
    with os.fdopen(fd, "rb") as file:
        return file.read(_MAX_TEXT).decode(errors="replace")


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
