"""Linux capabilities: the default set, and what add and drop make of it.

Order and meaning of add and drop are those of the CRI plugins: ALL first, then the single ones, drops last.
The result is clamped to what this process may give (its own bounding set), else the kernel refuses the lot.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

# By number (linux/capability.h).
NAMES = tuple(
    f"CAP_{name}"
    for line in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE",
        "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT",
        "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE",
        "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ",
        "PERFMON BPF CHECKPOINT_RESTORE",
    )
    for name in line.split()
)

# What a container has unless its spec says otherwise; upstream's runtimes agree on these fourteen.
DEFAULT = frozenset(
    f"CAP_{name}"
    for line in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE",
        "NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT",
    )
    for name in line.split()
)

_ALL = "CAP_ALL"


def effective(
    add: Sequence[str], drop: Sequence[str], *, privileged: bool, bounding: Set[str]
) -> tuple[list[str], list[str]]:
    """(granted, refused), sorted; `refused` are those asked for by name that this node cannot give."""
    adds, drops = {_full(name) for name in add}, {_full(name) for name in drop}
    named = adds - {_ALL}
    if privileged:
        return sorted(bounding), []
    wanted = set(bounding) if _ALL in adds else set(DEFAULT)
    if _ALL in drops:
        wanted.clear()
    wanted = (wanted | named) - drops
    return sorted(wanted & bounding), sorted((named - drops) - bounding)


def unknown(names: Sequence[str]) -> list[str]:
    """Those that are no capabilities at all."""
    return sorted(name for name in names if _full(name) not in (*NAMES, _ALL))


def bounding_set() -> frozenset[str]:
    """What this process can give away at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return frozenset(name for number, name in enumerate(NAMES) if bits >> number & 1)
    raise RuntimeError("/proc/self/status has no CapBnd line")


def _full(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else "CAP_" + upper
