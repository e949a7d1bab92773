from __future__ import annotations

from sampan.api.prometheus import text
from sampan.kubelet.numbers.counters import Counters, ProbeCount


def test_what_happened_is_told() -> None:
    counters = Counters()
    for took_s in (None, None, 0.02):
        counters.started(took_s)
    counters.pull_failures["ErrImagePull"] += 2
    shown = text(counters.families()).decode()
    assert 'kubelet_image_pull_failures_total{reason="ErrImagePull"} 2' in shown
    assert "kubelet_started_containers_total 3" in shown
    assert 'kubelet_pod_start_duration_seconds_bucket{le="0.025"} 1' in shown


def test_the_probes_of_a_pod_go_with_it() -> None:
    counters = Counters()
    for uid in ("u", "v"):
        counters.probes[ProbeCount("n", "web", uid, "c", "liveness", "failed")] += 1
    counters.forget("u")
    assert text(counters.probe_families()).decode().splitlines()[2:] == [
        'prober_probe_total{container="c",namespace="n",pod="web",pod_uid="v",probe_type="Liveness",'
        'result="failed"} 1'
    ]
