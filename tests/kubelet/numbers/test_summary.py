from __future__ import annotations

from sampan.api.streams import ContainerUsage, NodeUsage, PodUsage
from sampan.kubelet.numbers.network import Traffic
from sampan.kubelet.numbers.reading import ContainerReading, PodReading, Reading
from sampan.kubelet.numbers.summary import Disk, Facts, summary
from sampan.kubelet.runtime.contract import Stats

DISK = Disk(1000, 600, 400, 100, 60, 40)
READING = Reading(
    100.0,
    Stats(9, 50, 40, 7, memory_limit_bytes=1000),
    {"id1": ContainerReading("u", "c", 1, 90.0, Stats(5, 20, 10, 2))},
    {"u": PodReading("n", "web", "u", 89.0, Stats(6, 30, 15, 3))},
)
RATES = NodeUsage(100.0, 10.0, 123, 40, [PodUsage("n", "web", 100.0, 10.0, [ContainerUsage("c", 77, 10)])])
FACTS = Facts(
    "node",
    0.0,
    DISK,
    DISK,
    32768,
    {"u": Traffic(1, 0, 0, 2)},
    {("u", "c"): Disk(1000, 600, 10, 100, 60, 1)},
    {"id1": Disk(1000, 600, 20, 100, 60, 2)},
    {"u": {"data": Disk(1000, 600, 30, 100, 60, 3)}},
)


def test_a_summary_tells_of_node_pods_and_containers() -> None:
    shown = summary(READING, RATES, FACTS)
    node, (pod,) = shown["node"], shown["pods"]
    assert node["nodeName"] == "node"
    assert node["cpu"] == {"time": "1970-01-01T00:01:40Z", "usageNanoCores": 123, "usageCoreNanoSeconds": 9}
    assert node["memory"]["availableBytes"] == 960
    assert node["fs"]["usedBytes"] == 400 and node["rlimit"]["curproc"] == 7
    assert pod["podRef"] == {"name": "web", "namespace": "n", "uid": "u"}
    assert pod["cpu"]["usageNanoCores"] == pod["containers"][0]["cpu"]["usageNanoCores"] == 77
    assert (pod["network"]["rxBytes"], pod["network"]["txBytes"]) == (1, 2)
    assert pod["volume"][0]["name"] == "data"
    assert pod["ephemeral-storage"]["usedBytes"] == 60
    assert pod["containers"][0]["rootfs"]["usedBytes"] == 20
    assert pod["containers"][0]["logs"]["usedBytes"] == 10


def test_a_brief_one_tells_of_processor_and_memory_only() -> None:
    shown = summary(READING, RATES, FACTS, brief=True)
    assert not {"fs", "runtime", "rlimit"} & set(shown["node"])
    assert not {"network", "volume", "ephemeral-storage"} & set(shown["pods"][0])
