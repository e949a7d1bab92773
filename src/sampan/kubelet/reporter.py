"""Writes one Pod's status: what others act on at once, the rest a moment later and together.

One task per Pod writes, so writes are in order and never overlap; what changes during a write is in the next.
A status that nobody acts on (a container being created) waits up to LAZY_S: a Pod that starts faster than
that costs one write instead of three.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, key_of, name_of, namespace_of
from sampan.api.request import STRATEGIC_MERGE_PATCH
from sampan.api.resources import PODS
from sampan.client.client import Client
from sampan.kubelet.podview import PodView
from sampan.kubelet.status import is_urgent, pod_status, status_patch

LAZY_S = 0.025
RETRY_S = 1.0
FINAL_CODES = (404, 409, 422)
"""The Pod is gone, is another by now, or the status is refused: saying it again would not help."""

log = logging.getLogger(__name__)


class Reporter:
    """`poke` after every change of the view. `answered` hears of the Pod as the API has it after a write."""

    def __init__(
        self, client: Client, view: PodView, host_ips: tuple[str, ...], answered: Callable[[Obj], None]
    ) -> None:
        self._client, self._view, self._host_ips, self._answered = client, view, host_ips, answered
        self._written: Obj = view.pod.get("status") or {}
        self._changed = asyncio.Event()
        self._clean = asyncio.Event()
        self._hurry = False

    def poke(self) -> None:
        self._clean.clear()
        self._changed.set()

    def renew(self) -> None:
        """A static Pod has another mirror, which knows nothing yet."""
        self._written = (self._view.mirror or {}).get("status") or {}
        self.poke()

    async def flush(self) -> None:
        """Returns once the API has the status as it is now, or will never take it."""
        self._hurry = True
        self.poke()
        await self._clean.wait()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            lazy_until_s = time.monotonic() + LAZY_S
            while True:
                self._changed.clear()
                status = self._status()
                if status == self._written:
                    break
                pause_s = lazy_until_s - time.monotonic()
                if pause_s > 0 and not self._hurry and not is_urgent(self._written, status):
                    await self._change_within(pause_s)
                    continue
                if not await self._write(status):
                    await asyncio.sleep(RETRY_S)
            self._hurry = False
            self._clean.set()

    def _status(self) -> Obj:
        if self._view.finished or (self._view.gone and not self._view.static):
            return self._written
        return pod_status(self._view, self._host_ips, time.time())

    async def _change_within(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _write(self, status: Obj) -> bool:
        """False: try again."""
        pod = self._view.mirror if self._view.static else self._view.pod
        if pod is None:
            # The API knows nothing of the Pod; the node itself remembers.
            self._view.reported(status)
            self._written = status
            return True
        patch = status_patch(pod, pod.get("status") or {}, status)
        if patch is not None:
            try:
                answer = await self._client.patch(
                    PODS,
                    name_of(pod),
                    patch,
                    namespace=namespace_of(pod),
                    content_type=STRATEGIC_MERGE_PATCH,
                    subresource="status",
                )
            except StatusError as error:
                if error.code not in FINAL_CODES:
                    log.warning("status of Pod %s not written: %s", key_of(pod), error.message)
                    return False
                if error.code == 422:
                    log.error("status of Pod %s refused: %s", key_of(pod), error.message)
            except OSError as error:
                log.warning("status of Pod %s not written: %s", key_of(pod), error)
                return False
            else:
                self._answered(answer)
        self._written = status
        return True
