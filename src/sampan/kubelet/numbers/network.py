"""What a Pod's interface has carried, as a process of the Pod sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Traffic:
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0


def traffic(pid: int, interface: str = "eth0", proc: Path = Path("/proc")) -> Traffic | None:
    """None if the process is gone, or shares the node's network."""
    try:
        text = (proc / str(pid) / "net/dev").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() == interface:
            columns = [int(word) for word in numbers.split()]
            return Traffic(*columns[0:3], *columns[8:11])
    return None
