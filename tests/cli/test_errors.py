from __future__ import annotations

import errno
import os

from sampan.cli.errors import UserError, of_disk


def test_what_disks_do_is_said_in_words() -> None:
    found = of_disk(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/d/cluster.new"))
    assert isinstance(found, UserError)
    assert found.what == "/d/cluster.new cannot be written: No space left on device"
    assert found.do == "Free space, or inodes, on its disk."
    unnamed = of_disk(OSError(errno.EROFS, os.strerror(errno.EROFS)))
    assert unnamed is not None and unnamed.what == "a file cannot be written: Read-only file system"
    assert of_disk(FileNotFoundError(errno.ENOENT, "no such file")) is None
    assert of_disk(OSError("odd")) is None
