"""User namespaces of Pods (hostUsers: false, KEP-127): ranges of IDs, and the namespaces themselves.

Each Pod has 65536 user and group IDs of its own. Which ones is drawn by lot, so that several clusters on one
machine hardly ever meet; those that the administrator has given to users (subuid(5)) are left alone.

A process with threads cannot make a user namespace, so a small one does. It makes the others as well, which
then belong to the user namespace: the Pod's root may do in them what root may. It ends once they are pinned.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

COUNT = 1 << 16
_RANGES = (1 << 32) // COUNT
_DELEGATED = (Path("/etc/subuid"), Path("/etc/subgid"))
_FLAGS = {"net": "--net", "ipc": "--ipc", "uts": "--uts"}


def allot(
    taken: Collection[int],
    delegated: Iterable[range] = (),
    draw: Callable[[int, int], int] = random.randrange,
) -> int:
    """The first ID of a range that nobody has. Raises OSError when there is none."""
    reserved = list(delegated)

    def is_free(first: int) -> bool:
        return first not in taken and all(
            first + COUNT <= other.start or first >= other.stop for other in reserved
        )

    # The first range is the machine's own, the last one ends with an ID that means "none".
    start = draw(1, _RANGES - 1)
    for index in range(_RANGES - 2):
        first = (1 + (start - 1 + index) % (_RANGES - 2)) * COUNT
        if is_free(first):
            return first
    raise OSError("all ranges of user IDs are taken")


def delegated(files: Sequence[Path] = _DELEGATED) -> list[range]:
    """What users may use in namespaces of their own."""
    return [found for file in files if file.exists() for found in _parse(file.read_text())]


def _parse(text: str) -> Iterator[range]:
    for line in text.splitlines():
        _, _, numbers = line.partition(":")
        first, _, count = numbers.partition(":")
        if first.isdecimal() and count.isdecimal():
            yield range(int(first), int(first) + int(count))


@contextmanager
def made(own: Sequence[str], first_id: int) -> Iterator[Path]:
    """New namespaces, `own` and a user namespace above them: the directory with their files, while it lasts.

    Blocking. Raises OSError.
    """
    argv = ["unshare", "--user", *(_FLAGS[kind] for kind in own), "cat"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as maker:
        assert maker.stdin is not None and maker.stdout is not None and maker.stderr is not None
        try:
            # What comes back says that the namespaces are there.
            maker.stdin.write(b".\n")
            maker.stdin.flush()
            if not maker.stdout.readline():
                raise OSError(maker.stderr.read().decode(errors="replace").strip() or "unshare has failed")
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{maker.pid}/{kind}").write_text(f"0 {first_id} {COUNT}\n")
            yield Path(f"/proc/{maker.pid}/ns")
        except BrokenPipeError:
            raise OSError(maker.stderr.read().decode(errors="replace").strip()) from None
        finally:
            maker.kill()
