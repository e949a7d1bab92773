"""A few numbers in Prometheus' text form."""

from __future__ import annotations

from collections import Counter, defaultdict

from sampan.apiserver.watchcache import Hub


class Metrics:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._requests: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def count(self, method: str, seconds: float) -> None:
        self._requests[method] += 1
        self._seconds[method] += seconds

    def text(self) -> str:
        lines = ["# TYPE apiserver_request_total counter"]
        lines += [f'apiserver_request_total{{verb="{m}"}} {n}' for m, n in sorted(self._requests.items())]
        lines.append("# TYPE apiserver_request_duration_seconds_sum counter")
        lines += [
            f'apiserver_request_duration_seconds_sum{{verb="{method}"}} {total:.6f}'
            for method, total in sorted(self._seconds.items())
        ]
        lines.append("# TYPE apiserver_storage_objects gauge")
        lines.append("# TYPE apiserver_longrunning_requests gauge")
        for cache in self._hub.caches:
            name = cache.prefix.removeprefix("/registry/").strip("/").replace("/", ".")
            if cache.entries:
                lines.append(f'apiserver_storage_objects{{resource="{name}"}} {len(cache.entries)}')
            if watchers := len(cache.sinks):
                lines.append(f'apiserver_longrunning_requests{{resource="{name}",verb="WATCH"}} {watchers}')
        return "\n".join(lines) + "\n"
