"""Requests counted and timed, and what the caches hold: /metrics, under upstream's names.

Source: reference/instrumentation/metrics. A request costs two additions and a search among the bounds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from sampan.api import process, prometheus
from sampan.api.prometheus import Family, Histogram, Sample
from sampan.apiserver import route
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.watchcache import Hub

_LONG = frozenset(["WATCH", "CONNECT"])
"""They last as long as the client likes: counted, not timed."""
_LOGS = "log"


class _Request(NamedTuple):
    """What requests are told apart by; `scope` is resource, namespace, cluster or ""."""

    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    scope: str


class Metrics:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._counts: Counter[tuple[_Request, int]] = Counter()
        self._times: defaultdict[_Request, Histogram] = defaultdict(Histogram)

    def count(self, exchange: Exchange, seconds: float) -> None:
        """An answered request."""
        request = _request(exchange.method, exchange.path, exchange.raw_query)
        self._counts[request, exchange.code] += 1
        if request.verb not in _LONG and request.subresource != _LOGS:
            self._times[request].observe(seconds)

    def text(self) -> bytes:
        counts = [
            Sample(count, {**request._asdict(), "code": str(code)})
            for (request, code), count in self._counts.items()
        ]
        times = [
            sample
            for request, histogram in self._times.items()
            for sample in histogram.samples(request._asdict())
        ]
        text = "Response latency distribution in seconds for each verb, group, version, resource and scope."
        families = [
            Family("apiserver_request_total", "counter", "Requests by verb, resource and code.", counts),
            Family("apiserver_request_duration_seconds", "histogram", text, times),
            *self._caches(),
            *process.families(),
        ]
        return prometheus.text(families)

    def _caches(self) -> list[Family]:
        objects, watchers = [], []
        for cache in self._hub.caches:
            labels = {"resource": cache.prefix.removeprefix("/registry/").strip("/").replace("/", ".")}
            if cache.entries:
                objects.append(Sample(len(cache.entries), labels))
            if count := len(cache.sinks):
                watchers.append(Sample(count, {**labels, "verb": "WATCH"}))
        text = "Watches that are served now."
        return [
            Family("apiserver_storage_objects", "gauge", "Stored objects by resource.", objects),
            Family("apiserver_longrunning_requests", "gauge", text, watchers),
        ]


def _request(method: str, path: str, query: str) -> _Request:
    found = route.parse(path)
    if found is None:
        return _Request(method, "", "", "", "", "")
    resource = found.resource
    scope = "resource" if found.name else "namespace" if found.namespace else "cluster"
    return _Request(
        _verb(method, found, query),
        resource.group,
        resource.version,
        resource.plural,
        found.subresource,
        scope,
    )


def _verb(method: str, found: route.Route, query: str) -> str:
    if found.subresource in route.CONNECT:
        return "CONNECT"
    if method == "GET" and "watch=" in query and "watch=false" not in query and "watch=0" not in query:
        return "WATCH"
    if method in ("GET", "DELETE") and not found.name:
        return "LIST" if method == "GET" else "DELETECOLLECTION"
    return method
