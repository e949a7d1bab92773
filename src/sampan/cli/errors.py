"""What the command line says when it cannot do what was asked."""

from __future__ import annotations

import errno
from collections.abc import Mapping


class UserError(Exception):
    """`what` was found, and what to `do` about it; printed without a traceback."""

    def __init__(self, what: str, do: str = "") -> None:
        super().__init__(f"{what}\n  {do}" if do else what)
        self.what, self.do = what, do


ADVICE: Mapping[int, str] = {
    errno.ENOSPC: "Free space, or inodes, on its disk.",
    errno.EDQUOT: "Free space on its disk: the quota is used up.",
    errno.EROFS: "Its disk is mounted read-only; `dmesg` may say why.",
    errno.EIO: "Its disk fails; `dmesg` says more.",
}
"""What can be done about errors of disks, which may come from anywhere."""


def of_disk(error: OSError) -> UserError | None:
    """What is said instead of a traceback; None if it is not the disk's fault."""
    if (advice := ADVICE.get(error.errno or 0)) is None:
        return None
    return UserError(f"{error.filename or 'a file'} cannot be written: {error.strerror}", advice)
