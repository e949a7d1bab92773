"""What happened on this node since the process began: counted where it happens, read by /metrics.

All on the event loop; counting costs one dictionary entry.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api.prometheus import Family, Histogram, Sample


class ProbeCount(NamedTuple):
    """Whose probe of what kind had which result: successful, failed or unknown."""

    namespace: str
    pod: str
    uid: str
    container: str
    kind: str
    result: str


@dataclass(slots=True)
class Counters:
    pod_start: Histogram = field(default_factory=Histogram)
    """From when the kubelet saw a Pod until all its containers had been started."""
    image_pull: Histogram = field(default_factory=Histogram)
    pull_failures: Counter[str] = field(default_factory=Counter)
    """By reason."""
    containers_started: int = 0
    images_collected: int = 0
    probes: Counter[ProbeCount] = field(default_factory=Counter)

    def started(self, pod_took_s: float | None) -> None:
        """A container; the last one of its Pod, if that took so long."""
        self.containers_started += 1
        if pod_took_s is not None:
            self.pod_start.observe(pod_took_s)

    def forget(self, uid: str) -> None:
        """The Pod has gone; what was counted of its probes with it."""
        for entry in [entry for entry in self.probes if entry.uid == uid]:
            del self.probes[entry]

    def families(self) -> list[Family]:
        return [
            Family(
                "kubelet_pod_start_duration_seconds",
                "histogram",
                "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
                self.pod_start.samples(),
            ),
            Family(
                "kubelet_image_pull_duration_seconds",
                "histogram",
                "Duration in seconds to pull an image.",
                self.image_pull.samples(),
            ),
            Family(
                "kubelet_image_pull_failures_total",
                "counter",
                "Number of image pulls that failed, by reason.",
                [Sample(count, {"reason": reason}) for reason, count in sorted(self.pull_failures.items())],
            ),
            Family(
                "kubelet_started_containers_total",
                "counter",
                "Cumulative number of containers started",
                [Sample(self.containers_started)],
            ),
            Family(
                "kubelet_image_garbage_collected_total",
                "counter",
                "Total number of images garbage collected by the kubelet",
                [Sample(self.images_collected)],
            ),
        ]

    def probe_families(self) -> list[Family]:
        """Source: reference/instrumentation/metrics, `prober_probe_total`."""
        samples = [
            Sample(
                count,
                {
                    "container": entry.container,
                    "namespace": entry.namespace,
                    "pod": entry.pod,
                    "pod_uid": entry.uid,
                    "probe_type": entry.kind.capitalize(),
                    "result": entry.result,
                },
            )
            for entry, count in sorted(self.probes.items())
        ]
        text = "Cumulative number of a liveness, readiness or startup probe for a container by result."
        return [Family("prober_probe_total", "counter", text, samples)]
