"""When a table in the kernel is compared with ours: now and then, and when a change of it was refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sampan.proxy.contract import NftFault

log = logging.getLogger(__name__)

EVERY_S = 600.0
RETRY_S = 1.0


async def now_and_then(audit: Callable[[], Awaitable[int]], drifted: asyncio.Event, every_s: float) -> None:
    """Audits until cancelled, at once while `drifted` is set, which a successful audit is to clear."""
    while True:
        try:
            async with asyncio.timeout(every_s):
                await drifted.wait()
        except TimeoutError:
            log.debug("audit is due")
        try:
            await audit()
        except NftFault:
            log.exception("cannot bring the kernel's table in line; trying again")
            drifted.set()
            await asyncio.sleep(RETRY_S)
