"""Readings as Prometheus families: /metrics/resource and the better known part of /metrics/cadvisor. Pure.

Source: reference/instrumentation/node-metrics; names as upstream's, so that dashboards find them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from sampan.api.prometheus import Family, Sample
from sampan.kubelet.numbers.network import Traffic
from sampan.kubelet.numbers.reading import Reading
from sampan.kubelet.runtime.contract import Stats

Kind = Literal["counter", "gauge"]
Labelled = Iterable[tuple[Mapping[str, str], Stats]]

_RESOURCE: tuple[tuple[str, Kind, str, Callable[[Stats], float]], ...] = (
    (
        "cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed by the {} in core-seconds",
        lambda s: s.cpu_ns / 1e9,
    ),
    (
        "memory_working_set_bytes",
        "gauge",
        "Current working set of the {} in bytes",
        lambda s: s.working_set_bytes,
    ),
    ("swap_usage_bytes", "gauge", "Current amount of the {} swap usage in bytes.", lambda s: s.swap_bytes),
)
_CADVISOR: tuple[tuple[str, Kind, str, Callable[[Stats], float]], ...] = (
    (
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        lambda s: s.cpu_ns / 1e9,
    ),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory.",
        lambda s: s.memory_bytes,
    ),
    (
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set in bytes.",
        lambda s: s.working_set_bytes,
    ),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", lambda s: s.rss_bytes),
    ("container_memory_swap", "gauge", "Container swap usage in bytes.", lambda s: s.swap_bytes),
    (
        "container_spec_memory_limit_bytes",
        "gauge",
        "Memory limit for the container.",
        lambda s: s.memory_limit_bytes,
    ),
    ("container_processes", "gauge", "Number of processes running inside the container.", lambda s: s.pids),
)
_TRAFFIC: tuple[tuple[str, str, Callable[[Traffic], float]], ...] = (
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", lambda t: t.rx_bytes),
    (
        "container_network_receive_errors_total",
        "Cumulative count of errors in receiving",
        lambda t: t.rx_errors,
    ),
    (
        "container_network_receive_packets_total",
        "Cumulative count of packets received",
        lambda t: t.rx_packets,
    ),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", lambda t: t.tx_bytes),
    (
        "container_network_transmit_errors_total",
        "Cumulative count of errors in transmitting",
        lambda t: t.tx_errors,
    ),
    (
        "container_network_transmit_packets_total",
        "Cumulative count of packets transmitted",
        lambda t: t.tx_packets,
    ),
)


def resource(reading: Reading) -> list[Family]:
    at_ms = int(reading.at_s * 1000)
    families = []
    for what, rows in (
        ("container", containers(reading)),
        ("node", [({}, reading.node)]),
        ("pod", pods(reading)),
    ):
        rows = list(rows)
        for name, kind, text, value in _RESOURCE:
            samples = [Sample(value(stats), labels, at_ms=at_ms) for labels, stats in rows]
            families.append(Family(f"{what}_{name}", kind, text.format(what), samples))
    starts = [
        Sample(found.started_at_s, _names(reading, found.uid, container=found.name))
        for found in reading.containers.values()
        if found.uid in reading.pods
    ]
    text = "Start time of the container since unix epoch in seconds"
    families.append(Family("container_start_time_seconds", "gauge", text, starts))
    text = "1 if there was an error while getting container metrics, 0 otherwise"
    families.append(Family("resource_scrape_error", "gauge", text, [Sample(0)]))
    return families


def cadvisor(
    reading: Reading, traffic: Mapping[str, Traffic], images: Mapping[str, str], cpus: int
) -> list[Family]:
    """`traffic` by Pod uid, `images` by container ID."""
    at_ms = int(reading.at_s * 1000)
    machine = {"id": "/", "container": "", "image": "", "name": "", "namespace": "", "pod": ""}
    rows: list[tuple[Mapping[str, str], Stats]] = [(machine, reading.node)]
    for uid, pod in reading.pods.items():
        rows.append(
            ({**_names(reading, uid, container=""), "id": f"/pod{uid}", "image": "", "name": ""}, pod.stats)
        )
    for container_id, found in reading.containers.items():
        if found.uid in reading.pods:
            labels = _names(reading, found.uid, container=found.name)
            more = {
                "id": f"/pod{found.uid}/{container_id}",
                "image": images.get(container_id, ""),
                "name": container_id,
            }
            rows.append(({**labels, **more}, found.stats))
    families = [
        Family(name, kind, text, [Sample(value(stats), labels, at_ms=at_ms) for labels, stats in rows])
        for name, kind, text, value in _CADVISOR
    ]
    for name, text, value in _TRAFFIC:
        samples = [
            Sample(value(found), {**_names(reading, uid, container=""), "interface": "eth0"}, at_ms=at_ms)
            for uid, found in traffic.items()
            if uid in reading.pods
        ]
        families.append(Family(name, "counter", text, samples))
    families.append(Family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [Sample(cpus)]))
    text = "Amount of memory installed on the machine."
    families.append(Family("machine_memory_bytes", "gauge", text, [Sample(reading.node.memory_limit_bytes)]))
    return families


def containers(reading: Reading) -> Labelled:
    for found in reading.containers.values():
        if found.uid in reading.pods:
            yield _names(reading, found.uid, container=found.name), found.stats


def pods(reading: Reading) -> Labelled:
    for pod in reading.pods.values():
        yield {"namespace": pod.namespace, "pod": pod.name}, pod.stats


def _names(reading: Reading, uid: str, *, container: str) -> dict[str, str]:
    pod = reading.pods[uid]
    return {"container": container, "namespace": pod.namespace, "pod": pod.name}
