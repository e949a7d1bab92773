from __future__ import annotations

from sampan.api.prometheus import text
from sampan.kubelet.numbers.families import cadvisor, resource
from sampan.kubelet.numbers.network import Traffic
from sampan.kubelet.numbers.reading import ContainerReading, PodReading, Reading
from sampan.kubelet.runtime.contract import Stats

READING = Reading(
    100.0,
    Stats(9 * 10**9, 50, 40, 7, memory_limit_bytes=1000),
    {"id1": ContainerReading("u", "c", 1, 90.0, Stats(10**9, 20, 10, 2))},
    {"u": PodReading("n", "web", "u", 89.0, Stats(2 * 10**9, 30, 15, 3))},
)


def test_resource_metrics() -> None:
    lines = text(resource(READING)).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'container_cpu_usage_seconds_total{container="c",namespace="n",pod="web"} 1 100000',
        'container_memory_working_set_bytes{container="c",namespace="n",pod="web"} 10 100000',
        'container_swap_usage_bytes{container="c",namespace="n",pod="web"} 0 100000',
        "node_cpu_usage_seconds_total 9 100000",
        "node_memory_working_set_bytes 40 100000",
        "node_swap_usage_bytes 0 100000",
        'pod_cpu_usage_seconds_total{namespace="n",pod="web"} 2 100000',
        'pod_memory_working_set_bytes{namespace="n",pod="web"} 15 100000',
        'pod_swap_usage_bytes{namespace="n",pod="web"} 0 100000',
        'container_start_time_seconds{container="c",namespace="n",pod="web"} 90',
        "resource_scrape_error 0",
    ]


def test_container_metrics() -> None:
    shown = text(cadvisor(READING, {"u": Traffic(rx_bytes=5)}, {"id1": "nginx"}, 2)).decode()
    assert (
        'container_memory_working_set_bytes{container="c",namespace="n",pod="web",id="/podu/id1",'
        'image="nginx",name="id1"} 10 100000'
    ) in shown
    assert (
        'container_network_receive_bytes_total{container="",namespace="n",pod="web",interface="eth0"} 5'
    ) in shown
    assert "machine_cpu_cores 2" in shown and "machine_memory_bytes 1000" in shown
