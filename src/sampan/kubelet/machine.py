"""What the machine has: processors, memory, disk, and what it calls itself. Reads /proc, /sys and uname."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sampan.api.quantity import Quantity, Suffixes

HUGE_POOLS = Path("/sys/kernel/mm/hugepages")
GOARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True)
class Machine:
    cpus: int
    memory_bytes: int
    disk_bytes: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str
    huge_pages: Mapping[str, int] = field(default_factory=dict)
    """Bytes set aside in pages of a size, by resource (`hugepages-2Mi`)."""

    @classmethod
    def found(cls, data: Path) -> Machine:
        """This machine; `data` lies on the disk whose size counts."""
        name = os.uname()
        return cls(
            cpus=len(os.sched_getaffinity(0)),
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            disk_bytes=shutil.disk_usage(data).total,
            architecture=GOARCH.get(name.machine, name.machine),
            kernel=name.release,
            os_image=_os_image(),
            machine_id=_line("/etc/machine-id"),
            system_uuid=_line("/sys/class/dmi/id/product_uuid"),
            boot_id=_line("/proc/sys/kernel/random/boot_id"),
            huge_pages=_huge_pages(),
        )


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _huge_pages() -> dict[str, int]:
    found = {}
    for pool in HUGE_POOLS.glob("hugepages-*kB"):
        page_bytes = int(pool.name.removeprefix("hugepages-").removesuffix("kB")) << 10
        pages = int(_line(f"{pool}/nr_hugepages") or 0)
        found[f"hugepages-{Quantity(page_bytes * 10**9, Suffixes.BINARY)}"] = pages * page_bytes
    return found


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
