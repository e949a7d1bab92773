"""What the DNS server counts, under the names that CoreDNS gives it, so that its dashboards show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from sampan.api.prometheus import Family, Histogram, Sample
from sampan.dns.forward import Forwarder
from sampan.dns.wire import RCODE_NAMES, TYPE_NAMES

SERVER = {"server": "dns://:53", "zone": ".", "view": ""}
CACHED = {"server": "dns://:53", "zones": ".", "view": ""}
DURATIONS_S = tuple(0.00025 * 2**step for step in range(16))
SIZES_BYTES = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)
FAMILY_NAMES = ("1", "2")
"""IPv4 and IPv6, as CoreDNS numbers them."""


class Metrics:
    """Of one server; it lives longer than its configurations."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int, int]] = Counter()
        self._responses: Counter[tuple[int, str]] = Counter()
        self._request_sizes = {proto: Histogram(SIZES_BYTES) for proto in ("udp", "tcp")}
        self._response_sizes = {proto: Histogram(SIZES_BYTES) for proto in ("udp", "tcp")}
        self._durations = Histogram(DURATIONS_S)
        self.reloads_failed = 0

    def count(
        self,
        proto: str,
        family: int,
        kind: int,
        rcode: int,
        plugin: str,
        sizes: tuple[int, int],
        times: int = 1,
    ) -> None:
        """`family`: 0 for IPv4, 1 for IPv6. `sizes`: of the question and the answer, in bytes."""
        self._requests[proto, family, kind] += times
        self._responses[rcode, plugin] += times
        self._request_sizes[proto].observe(sizes[0], times)
        self._response_sizes[proto].observe(sizes[1], times)

    def took(self, seconds: float, times: int = 1) -> None:
        self._durations.observe(seconds, times)

    def families(self, forwarders: Iterable[Forwarder], version: str) -> Iterator[Family]:
        yield Family(
            "coredns_build_info",
            "gauge",
            "What is answering.",
            [Sample(1, {"version": version, "revision": "sampan", "goversion": ""})],
        )
        requests: Counter[tuple[str, str, str]] = Counter()
        for (proto, family, kind), number in self._requests.items():
            requests[proto, FAMILY_NAMES[family], TYPE_NAMES.get(kind, "other")] += number
        yield _counter(
            "coredns_dns_requests_total",
            "Questions, by type.",
            [
                Sample(number, {**SERVER, "proto": proto, "family": family, "type": kind})
                for (proto, family, kind), number in sorted(requests.items())
            ],
        )
        yield _counter(
            "coredns_dns_responses_total",
            "Answers, by response code.",
            [
                Sample(number, {**SERVER, "rcode": RCODE_NAMES.get(rcode, str(rcode)), "plugin": plugin})
                for (rcode, plugin), number in sorted(self._responses.items())
            ],
        )
        yield Family(
            "coredns_dns_request_duration_seconds",
            "histogram",
            "Time from reading a question to sending its answer.",
            self._durations.samples(SERVER),
        )
        for which, histograms in (("request", self._request_sizes), ("response", self._response_sizes)):
            yield Family(
                f"coredns_dns_{which}_size_bytes",
                "histogram",
                f"Size of the {which}s.",
                [s for proto, one in histograms.items() for s in one.samples({**SERVER, "proto": proto})],
            )
        yield _counter("coredns_panics_total", "Questions that ended in a bug.", [Sample(0)])
        yield _counter(
            "coredns_reload_failed_total", "Configurations not taken.", [Sample(self.reloads_failed)]
        )
        yield from _forwarding(list(forwarders))


def _forwarding(forwarders: list[Forwarder]) -> Iterator[Family]:
    caches = [forwarder.cache for forwarder in forwarders if forwarder.cache]
    sorts = ((False, "success"), (True, "denial"))
    hits = {denies: sum(cache.hits[denies] for cache in caches) for denies, _ in sorts}
    misses = sum(cache.misses for cache in caches)
    yield Family(
        "coredns_cache_entries",
        "gauge",
        "Answers of others that are kept.",
        [
            Sample(sum(cache.sizes()[denies] for cache in caches), {**CACHED, "type": s})
            for denies, s in sorts
        ],
    )
    yield _counter(
        "coredns_cache_hits_total",
        "Questions answered from what was kept.",
        [Sample(hits[denies], {**CACHED, "type": sort}) for denies, sort in sorts],
    )
    yield _counter("coredns_cache_misses_total", "Questions that were not.", [Sample(misses, CACHED)])
    yield _counter(
        "coredns_cache_requests_total", "Questions looked for.", [Sample(misses + sum(hits.values()), CACHED)]
    )
    asked: Counter[str] = Counter()
    answered: Counter[tuple[str, str]] = Counter()
    durations: list[Sample] = []
    for forwarder in forwarders:
        for server, number in forwarder.asked.items():
            asked[str(server)] += number
        for (server, rcode), times in forwarder.times.items():
            labels = {"to": str(server), "rcode": RCODE_NAMES.get(rcode, str(rcode))}
            answered[labels["to"], labels["rcode"]] += sum(times.counts)
            durations += times.samples({"proxy_name": "forward", **labels})
    yield _counter(
        "coredns_forward_requests_total",
        "Questions sent to a server.",
        [Sample(number, {"to": to}) for to, number in asked.items()],
    )
    yield _counter(
        "coredns_forward_responses_total",
        "Answers had of a server.",
        [Sample(number, {"to": to, "rcode": rcode}) for (to, rcode), number in answered.items()],
    )
    yield Family("coredns_proxy_request_duration_seconds", "histogram", "Time a server took.", durations)
    yield _counter(
        "coredns_forward_max_concurrent_rejects_total",
        "Questions refused because too many were under way.",
        [Sample(sum(forwarder.rejected for forwarder in forwarders))],
    )


def _counter(name: str, help_: str, samples: list[Sample]) -> Family:
    return Family(name, "counter", help_, samples)
