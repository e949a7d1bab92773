"""Mounts in the host's mount namespace: who is mounted below a directory, and how all of it goes away.

The data directory is made a shared mount once. conmon holds a copy of every mount it saw when it started;
from a private parent those copies would stay mounted after ours are gone, and keep the files of removed
containers busy. Copies of a shared mount follow (mount_namespaces(7)).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sampan.kubelet.runtime import libc

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""

    target: str
    kind: str
    source: str
    shared: bool
    options: str
    super_options: str
    number: int = 0
    parent: int = 0
    shows: tuple[str, str] = ("", "")
    """What of which file system: (device, directory)."""


def parse_mountinfo(text: str) -> Iterator[MountPoint]:
    """In the order of the file: a mount comes after the one it sits on."""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, source, super_options) = left.split(" "), right.split(" ", 2)
        shared = any(tag.startswith("shared:") for tag in fields[6:])
        yield MountPoint(
            *(_plain(fields[4]), kind, _plain(source), shared, fields[5], super_options),
            *(int(fields[0]), int(fields[1]), (fields[2], _plain(fields[3]))),
        )


def table() -> list[MountPoint]:
    return list(parse_mountinfo(Path("/proc/self/mountinfo").read_text()))


def below(root: Path, points: list[MountPoint]) -> list[str]:
    """Targets at or below `root`, the last mounted first: the order in which they can be taken away."""
    base = str(root)
    inside = (point.target for point in points if point.target == base or point.target.startswith(base + "/"))
    return list(inside)[::-1]


def share(root: Path) -> None:
    """Makes `root` a shared mount of its own, also where a disk is mounted at it. Idempotent."""
    target, own = str(root), _onto_itself(root, table())
    if own is None:
        libc.mount(target, target, flags=libc.MS_BIND | libc.MS_REC)
    if own is None or not own.shared:
        libc.mount("", target, flags=libc.MS_SHARED)


def _onto_itself(root: Path, points: list[MountPoint]) -> MountPoint | None:
    """The mount that `share` made: it shows just what it hides. Somebody else's, a disk say, does not."""
    at_root = [point for point in points if point.target == str(root)]
    hidden = [point for point in points if at_root and point.number == at_root[-1].parent]
    if not hidden:
        return None
    (device, directory), inside = hidden[0].shows, root.relative_to(hidden[0].target)
    return at_root[-1] if at_root[-1].shows == (device, str(Path(directory, inside))) else None


def detach(path: Path) -> None:
    """Takes away what is mounted at `path`; no error if nothing is. Who still uses it keeps it alive."""
    try:
        libc.umount(str(path), libc.MNT_DETACH | libc.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def detach_below(root: Path) -> None:
    """Takes away all at and below `root`. What a bind mount hid comes up after it, hence the rounds."""
    while targets := below(root, _about(root)):
        for target in targets:
            detach(Path(target))


def in_memory(directory: Path, most_bytes: int) -> None:
    """Small files in `directory` need no disk from now on. Idempotent."""
    if not os.path.ismount(directory):
        flags = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
        libc.mount("sampan", str(directory), "tmpfs", flags, f"mode=700,size={most_bytes}")


def unshare(root: Path) -> None:
    """Takes away all below `root`, and what `share` made of it; a disk that is mounted at it stays."""
    before: list[str] = []
    while (inside := below(root, _about(root))) != before or _onto_itself(root, table()):
        for target in inside:
            if target != str(root) or _onto_itself(root, table()):
                detach(Path(target))
        before = inside


def _about(root: Path) -> list[MountPoint]:
    """All mounts at or below `root`, and maybe others; of thousands, few lines are worth to be parsed."""
    needle = _mangled(str(root))
    text = Path("/proc/self/mountinfo").read_text()
    return list(parse_mountinfo("\n".join(line for line in text.splitlines() if needle in line)))


def _mangled(path: str) -> str:
    """As the kernel writes a path there."""
    return "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in path)


def _plain(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
