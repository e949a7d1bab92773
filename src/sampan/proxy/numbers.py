"""The proxy's metrics, under the names by which kube-proxy's are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus

from sampan.api.prometheus import CONTENT_TYPE, Family, Histogram, Sample, text
from sampan.proxy.healthz import Health
from sampan.proxy.pages import NOT_FOUND, Page
from sampan.proxy.table import DROP, EXTERNAL, KEY_MASK, LOCAL, Element, Fields

PORT = 10249
_SYNC_S = tuple(0.001 * 2**n for n in range(15))
_PROGRAMMING_S = (0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30))


class Numbers:
    """Kept by the proxy; read only when somebody asks."""

    def __init__(self) -> None:
        self.sync_s = Histogram(_SYNC_S)
        self.programming_s = Histogram(_PROGRAMMING_S)
        self.changes: Counter[str] = Counter()
        """service, endpoint -> how many were seen."""
        self.failures = 0

    def page(self, path: str, health: Health, table: Mapping[Element, Fields]) -> Page:
        if path != "/metrics":
            return NOT_FOUND
        body = text(self._families(health, table))
        return Page(HTTPStatus.OK, body, {"Content-Type": CONTENT_TYPE})

    def _families(self, health: Health, table: Mapping[Element, Fields]) -> list[Family]:
        name = "kubeproxy_sync_proxy_rules"
        without = without_local_endpoints(table)
        asked = {
            path: [
                Sample(count, {"code": str(int(status))})
                for (of, status), count in health.asked.items()
                if of == path
            ]
            for path in ("healthz", "livez")
        }
        return [
            Family(
                "kubeproxy_network_programming_duration_seconds",
                "histogram",
                "In Cluster Network Programming Latency in seconds",
                self.programming_s.samples(),
            ),
            Family(
                f"{name}_duration_seconds",
                "histogram",
                "SyncProxyRules latency in seconds",
                self.sync_s.samples(),
            ),
            Family(
                f"{name}_last_timestamp_seconds",
                "gauge",
                "The last time proxy rules were successfully synced",
                [Sample(health.updated_s)],
            ),
            Family(
                f"{name}_last_queued_timestamp_seconds",
                "gauge",
                "The last time a sync of proxy rules was queued",
                [Sample(health.queued_s)],
            ),
            Family(
                f"{name}_service_changes_total",
                "counter",
                "Cumulative proxy rules Service changes",
                [Sample(self.changes["service"])],
            ),
            Family(
                f"{name}_endpoint_changes_total",
                "counter",
                "Cumulative proxy rules Endpoint changes",
                [Sample(self.changes["endpoint"])],
            ),
            Family(
                f"{name}_no_local_endpoints_total",
                "gauge",
                "Number of services with a Local traffic policy and no endpoints",
                [Sample(count, {"traffic_policy": policy}) for policy, count in without.items()],
            ),
            Family(
                f"{name}_nftables_sync_failures_total",
                "counter",
                "Cumulative proxy nftables sync failures",
                [Sample(self.failures)],
            ),
            Family(
                "kubeproxy_proxy_healthz_total", "counter", "Cumulative /healthz answers", asked["healthz"]
            ),
            Family("kubeproxy_proxy_livez_total", "counter", "Cumulative /livez answers", asked["livez"]),
        ]


def without_local_endpoints(table: Mapping[Element, Fields]) -> dict[str, int]:
    """Traffic policy -> service ports that drop packets here, though there are endpoints elsewhere."""
    dropping = {
        int(key[0]) & KEY_MASK for (name, key), value in table.items() if name == "svc" and value == (DROP,)
    }
    found: dict[str, set[int]] = {"external": set(), "internal": set()}
    if dropping:
        for (name, _), value in table.items():
            if name[:2] in ("fe", "np") and int(value[0]) & LOCAL and int(value[0]) & KEY_MASK in dropping:
                found["external" if int(value[0]) & EXTERNAL else "internal"].add(int(value[0]) & KEY_MASK)
    return {policy: len(keys) for policy, keys in found.items()}
