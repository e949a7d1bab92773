"""Mounts that show the files of the node to a user namespace as if they were its own (mount_setattr(2)).

What belongs to ID n on disk belongs to ID n of the Pod there, and the other way round.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from sampan.kubelet.runtime import libc, mounts


@contextmanager
def tree(source: str, user: str, *, recursive: bool = True) -> Iterator[int]:
    """A descriptor of a mount of `source` that is nowhere yet. `user`: path of the namespace.

    Raises OSError, which says so if the file system cannot do it.
    """
    user_fd = os.open(user, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = libc.open_tree(source, recursive=recursive)
    except BaseException:
        os.close(user_fd)
        raise
    try:
        libc.map_ids(found, user_fd, recursive=recursive)
    except OSError as error:
        os.close(found)
        text = f"its IDs cannot be mapped to the Pod's: {error.strerror}; its file system may not support it"
        raise OSError(error.errno, text, source) from error
    except BaseException:
        os.close(found)
        raise
    finally:
        os.close(user_fd)
    try:
        yield found
    finally:
        os.close(found)


@contextmanager
def trees(sources: Sequence[str], user: str) -> Iterator[list[str]]:
    """Paths by which this process, and only while it lasts, reaches such mounts of all `sources`."""
    with ExitStack() as held:
        found = [held.enter_context(tree(source, user, recursive=False)) for source in sources]
        yield [f"/proc/self/fd/{descriptor}" for descriptor in found]


def bind(source: str, target: str, user: str, *, recursive: bool = True) -> None:
    """Mounts it at `target`, which exists."""
    try:
        with tree(source, user, recursive=recursive) as found:
            libc.move_mount(found, target)
    except OSError as error:
        layers = read_only_layers(source) if error.errno == errno.EINVAL else []
        if not layers:
            raise
        # overlayfs cannot be seen through a user namespace; what it is made of can.
        with trees(layers, user) as mapped:
            libc.mount("overlay", target, "overlay", libc.MS_RDONLY, f"lowerdir={':'.join(mapped)}")


def read_only_layers(path: str) -> list[str]:
    """What an overlay that nobody writes to is made of, topmost first; nothing for any other mount."""
    found = [point for point in mounts.table() if point.target == path]
    if not found or found[-1].kind != "overlay":
        return []
    options = dict(option.partition("=")[::2] for option in found[-1].super_options.split(","))
    layers = options.get("lowerdir", "").split(":")
    plain = all(layer.startswith("/") and "\\" not in layer for layer in layers)
    return layers if plain and "upperdir" not in options else []
