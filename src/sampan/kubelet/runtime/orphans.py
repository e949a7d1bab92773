"""Zombies that nobody else will bury.

As a child subreaper this process inherits, with every conmon, also what `crun exec` leaves behind in a
container when it ends before its command does (with a command that cannot be started, always). The
container's first process cannot end before such a zombie is gone: the kernel waits for the whole pid
namespace. Rarely a process of the runtime's own is left too: by 1,000 Pods that ended under probes, three.
So each SIGCHLD looks for children that nobody watches and that live in another pid namespace, as our own
never do, or are a runtime's: those that we start are watched before the loop goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

from sampan.kubelet.runtime import process

_RUNTIMES = ("crun", "runc")

log = logging.getLogger(__name__)


def follow() -> bool:
    """Looks at every SIGCHLD from now on; False where the loop is not the main thread's."""
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, bury)
    except (ValueError, RuntimeError) as error:
        log.warning("orphans of containers are not waited for: %s", error)
        return False
    return True


def unfollow() -> None:
    asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)


def bury() -> None:
    """The kernel hands orphans to the main thread, so its list of children is the one to read."""
    main = os.getpid()
    children = {int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()}
    for pid in children - process.watched:
        if process.is_zombie(pid) and _is_orphan(pid):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue


def _is_orphan(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return fields["Name"].strip().startswith(_RUNTIMES) or len(fields.get("NSpid", "").split()) > 1
