"""Waiting until the kernel has done with every packet that saw the rules as they were.

A change of rules is acknowledged while another CPU may still be in the middle of a packet that was let
through by the old ones; where CPUs are virtual, that one may stand still for a long time. The kernel knows:
handling a packet is a read-side section of RCU, and membarrier(2) with MEMBARRIER_CMD_GLOBAL returns when all
that had begun before have ended. It takes some 6 ms and no CPU time.
"""

from __future__ import annotations

import asyncio
import ctypes
import platform
import time
from collections.abc import Callable

GLOBAL = 1
_NUMBERS = {"x86_64": 324, "aarch64": 283}
WITHOUT_S = 0.005
"""Where the kernel cannot be asked, this was measured to be ample on a machine whose CPUs are its own."""


def pass_one() -> None:
    """Blocks for one grace period of RCU."""
    number = _NUMBERS.get(platform.machine())
    if number is None or ctypes.CDLL(None).syscall(number, GLOBAL, 0, 0):
        time.sleep(WITHOUT_S)


class GracePeriods:
    """Whole grace periods, shared by all who wait; `one` blocks for one of them."""

    def __init__(self, one: Callable[[], None] = pass_one) -> None:
        self._one = one
        self._lock = asyncio.Lock()
        self._begun = self._ended = 0

    async def wait(self) -> None:
        """Returns when one that began after this call has ended."""
        due = self._begun + 1
        async with self._lock:
            if self._ended < due:
                self._begun += 1
                await asyncio.to_thread(self._one)
                self._ended = self._begun
