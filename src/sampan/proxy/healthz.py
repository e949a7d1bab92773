"""Whether the proxy does its work, for `/healthz` and `/livez`.

It is unhealthy when a change has waited too long to reach the kernel. `/healthz` also tells load balancers
that the node will soon be gone, which is no reason to restart the proxy (`/livez`): KEP-3458.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus

from sampan.api.clock import format_time
from sampan.api.objects import Obj
from sampan.proxy.pages import JSON, NOT_FOUND, Page

PORT = 10256
LATE_S = 120.0
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"


def is_eligible(nodes: Iterable[Obj]) -> bool:
    """Whether the node should get new connections; it should if nothing is known of it yet."""
    return not any(
        node["metadata"].get("deletionTimestamp")
        or any(taint.get("key") == TO_BE_DELETED for taint in (node.get("spec") or {}).get("taints") or ())
        for node in nodes
    )


class Health:
    """`queued` and `updated` cost next to nothing: they are called with every change."""

    def __init__(self, eligible: Callable[[], bool], now: Callable[[], float] = time.time) -> None:
        self._eligible, self._now = eligible, now
        self.queued_s = 0.0
        self.updated_s = 0.0
        self._waiting_since_s = 0.0
        """When the oldest change came that is not in the kernel yet; 0: there is none."""
        self.asked: Counter[tuple[str, int]] = Counter()
        """(path, status) -> how often."""

    def queued(self) -> None:
        self.queued_s = self._now()
        self._waiting_since_s = self._waiting_since_s or self.queued_s

    def updated(self) -> None:
        self.updated_s = self._now()
        self._waiting_since_s = 0.0

    def healthy(self) -> bool:
        return not self._waiting_since_s or self._now() - self._waiting_since_s < LATE_S

    def page(self, path: str) -> Page:
        if path not in ("/healthz", "/livez"):
            return NOT_FOUND
        good = self.healthy()
        said: Obj = {
            "lastUpdated": format_time(self._now() if good else self.updated_s),
            "currentTime": format_time(self._now()),
        }
        if path == "/healthz":
            said["nodeEligible"] = self._eligible()
            good = good and said["nodeEligible"]
        status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        self.asked[path[1:], status] += 1
        return Page(status, json.dumps(said).encode(), JSON)
