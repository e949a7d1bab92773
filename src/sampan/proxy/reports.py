"""What the proxy tells of itself and of its Services: health, metrics, health check ports.

Owned by the proxy, which calls `queued`, `refused` and `synced` as it works, on the event loop and without
waiting; `run` holds the ports open.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from sampan.api.clock import parse_time
from sampan.api.objects import Obj, annotations_of
from sampan.proxy.config import ProxyConfig
from sampan.proxy.contract import SocketFactory
from sampan.proxy.healthcheck import HealthChecks
from sampan.proxy.healthz import Health, is_eligible
from sampan.proxy.numbers import Numbers
from sampan.proxy.pages import Pages
from sampan.proxy.table import Table

log = logging.getLogger(__name__)

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
_METRICS_HOST = "127.0.0.1"
"""As kube-proxy's: for Pods in the node's network alone."""


class Reports:
    """`refused(service, port, error)` tells whoever should know that a health check's port is taken."""

    def __init__(
        self,
        config: ProxyConfig,
        sockets: SocketFactory,
        nodes: Callable[[], Iterable[Obj]],
        table: Callable[[], Table],
        refused: Callable[[str, int, OSError], None],
    ) -> None:
        versions = tuple(family.version for family in config.families)
        self.health = Health(lambda: is_eligible(nodes()))
        self.numbers = Numbers()
        self.checks = HealthChecks(sockets, versions, self.health.healthy, refused)
        self._triggers: list[str] = []
        """When that happened because of which slices have changed since the last transaction."""
        self._pages = (
            (config.health_port, "", Pages(sockets, versions, self.health.page)),
            (
                config.metrics_port,
                _METRICS_HOST,
                Pages(sockets, versions, lambda path: self.numbers.page(path, self.health, table())),
            ),
        )

    def queued(self, old: Obj | None, new: Obj | None) -> None:
        """A slice has changed."""
        self.numbers.changes["endpoint"] += 1
        trigger = annotations_of(new).get(TRIGGER_TIME) if new else None
        if trigger and not (old and annotations_of(old).get(TRIGGER_TIME) == trigger):
            self._triggers.append(trigger)

    def forget_triggers(self) -> None:
        """What changed before the proxy began says nothing about how quick it is."""
        self._triggers.clear()

    def refused(self) -> None:
        self.numbers.failures += 1

    def synced(self, took_s: float) -> None:
        """A transaction is in the kernel."""
        self.health.updated()
        self.numbers.sync_s.observe(took_s)
        if self._triggers:
            now_s = time.time()
            for trigger in self._triggers:
                self.numbers.programming_s.observe(max(now_s - parse_time(trigger), 0.0))
            self._triggers.clear()

    async def run(self) -> None:
        try:
            for port, host, pages in self._pages:
                if port:
                    await _open(pages, port, host)
            await self.checks.run()
        finally:
            for _, _, pages in self._pages:
                pages.close()


async def _open(pages: Pages, port: int, host: str) -> None:
    try:
        await pages.open(port, host)
    except OSError as error:
        log.warning("port %d of the node is taken, so the proxy has no pages there: %s", port, error)
