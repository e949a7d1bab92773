"""`healthCheckNodePort`: a load balancer asks each node whether it has endpoints of its own for a Service.

`want` is called on the event loop whenever a Service's rules change; the count it gives is what the next
request gets. Ports are opened and closed by `run`, one after another, woken by `want`. A port that somebody
else has is told in an event of the Service, and tried again with the Service's next change.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from http import HTTPStatus

from sampan.proxy.contract import SocketFactory
from sampan.proxy.pages import JSON, Page, Pages
from sampan.proxy.rules import HealthCheck

log = logging.getLogger(__name__)


def page(service: str, endpoints: int, healthy: bool) -> Page:
    """What is answered for `namespace/name`, whatever the path."""
    namespace, _, name = service.partition("/")
    body = {
        "service": {"namespace": namespace, "name": name},
        "localEndpoints": endpoints,
        "serviceProxyHealthy": healthy,
    }
    status = HTTPStatus.OK if endpoints and healthy else HTTPStatus.SERVICE_UNAVAILABLE
    weight = {"X-Load-Balancing-Endpoint-Weight": str(endpoints)}
    return Page(status, json.dumps(body, indent="\t").encode(), JSON | weight)


class HealthChecks:
    def __init__(
        self,
        sockets: SocketFactory,
        families: tuple[int, ...],
        healthy: Callable[[], bool],
        refused: Callable[[str, int, OSError], None],
    ) -> None:
        """`refused(service, port, error)` tells whoever should know that a port could not be opened."""
        self._sockets, self._families = sockets, families
        self._healthy, self._refused = healthy, refused
        self._wanted: dict[str, HealthCheck] = {}
        self._open: dict[str, tuple[int, Pages]] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    def want(self, service: str, check: HealthCheck | None) -> None:
        before = self._wanted.get(service)
        if check is None:
            self._wanted.pop(service, None)
        else:
            self._wanted[service] = check
        if before != check:
            self._changed.add(service)
            self._wake.set()

    async def run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                changed, self._changed = self._changed, set()
                # What closes comes first: a port may pass from one Service to another.
                for service in changed:
                    self._close_if_other(service)
                for service in changed:
                    await self._open_if_wanted(service)
        finally:
            for _, pages in self._open.values():
                pages.close()
            self._open.clear()

    def _close_if_other(self, service: str) -> None:
        port, pages = self._open.get(service, (0, None))
        wanted = self._wanted.get(service)
        if pages is not None and (wanted is None or wanted.port != port):
            pages.close()
            del self._open[service]

    async def _open_if_wanted(self, service: str) -> None:
        wanted = self._wanted.get(service)
        if wanted is None or service in self._open:
            return
        pages = Pages(self._sockets, self._families, lambda path: self._page(service))
        try:
            await pages.open(wanted.port)
        except OSError as error:
            log.warning("health check of %s on port %d: %s", service, wanted.port, error)
            self._refused(service, wanted.port, error)
            return
        self._open[service] = (wanted.port, pages)

    def _page(self, service: str) -> Page:
        wanted = self._wanted.get(service)
        return page(service, wanted.endpoints if wanted else 0, self._healthy())
