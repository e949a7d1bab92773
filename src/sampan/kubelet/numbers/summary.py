"""/stats/summary: the kubelet's statistics as one JSON document, for dashboards and metrics-server. Pure.

Source: the Summary type of upstream's stats API (k8s.io/kubelet/pkg/apis/stats/v1alpha1). What this node
does not count is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.api import clock
from sampan.api.objects import Obj
from sampan.api.streams import NodeUsage
from sampan.kubelet.numbers.network import Traffic
from sampan.kubelet.numbers.reading import ContainerReading, PodReading, Reading
from sampan.kubelet.runtime.contract import Stats


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system's room, and what `used` of it is one's own. -1: not known."""

    capacity: int
    available: int
    used: int
    inodes: int
    inodes_free: int
    inodes_used: int

    def shown(self, at: str) -> Obj:
        return {
            "time": at,
            "availableBytes": self.available,
            "capacityBytes": self.capacity,
            "usedBytes": self.used,
            "inodesFree": self.inodes_free,
            "inodes": self.inodes,
            "inodesUsed": self.inodes_used,
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """What a summary tells beside the reading. Disks by Pod uid, then by container or volume name."""

    node_name: str
    booted_at_s: float
    node_disk: Disk
    image_disk: Disk
    max_pid: int
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    logs: Mapping[tuple[str, str], Disk] = field(default_factory=dict)
    rootfs: Mapping[str, Disk] = field(default_factory=dict)
    """By container ID."""
    volumes: Mapping[str, Mapping[str, Disk]] = field(default_factory=dict)


def summary(reading: Reading, rates: NodeUsage, facts: Facts, *, brief: bool = False) -> Obj:
    """`brief`: processor and memory only."""
    at = clock.format_time(reading.at_s)
    node: Obj = {
        "nodeName": facts.node_name,
        "startTime": clock.format_time(facts.booted_at_s),
        **_basic(at, reading.node, rates.cpu_nanocores),
    }
    if not brief:
        node["fs"] = facts.node_disk.shown(at)
        node["runtime"] = {
            "imageFs": facts.image_disk.shown(at),
            "containerFs": facts.node_disk.shown(at),
        }
        node["rlimit"] = {"time": at, "maxpid": facts.max_pid, "curproc": reading.node.pids}
    cores = {
        (pod.namespace, pod.name, container.name): container.cpu_nanocores
        for pod in rates.pods
        for container in pod.containers
    }
    pods = [_pod(at, reading, pod, cores, facts, brief) for pod in reading.pods.values()]
    return {"node": node, "pods": pods}


def _pod(
    at: str,
    reading: Reading,
    pod: PodReading,
    cores: Mapping[tuple[str, str, str], int],
    facts: Facts,
    brief: bool,
) -> Obj:
    own = {cid: found for cid, found in reading.containers.items() if found.uid == pod.uid}
    rates = {found.name: cores.get((pod.namespace, pod.name, found.name), 0) for found in own.values()}
    entry: Obj = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": clock.format_time(pod.started_at_s),
        "containers": [
            _container(at, container_id, found, rates[found.name], facts, brief)
            for container_id, found in own.items()
        ],
        **_basic(at, pod.stats, sum(rates.values())),
        "process_stats": {"process_count": pod.stats.pids},
    }
    if brief:
        return entry
    if (traffic := facts.traffic.get(pod.uid)) is not None:
        interface = {
            "name": "eth0",
            "rxBytes": traffic.rx_bytes,
            "rxErrors": traffic.rx_errors,
            "txBytes": traffic.tx_bytes,
            "txErrors": traffic.tx_errors,
        }
        entry["network"] = {"time": at, **interface, "interfaces": [interface]}
    volumes = facts.volumes.get(pod.uid) or {}
    entry["volume"] = [{**disk.shown(at), "name": name} for name, disk in sorted(volumes.items())]
    own_disks = [facts.rootfs[cid] for cid in own if cid in facts.rootfs]
    own_disks += [disk for (uid, _), disk in facts.logs.items() if uid == pod.uid]
    own_disks += volumes.values()
    total = Disk(
        facts.node_disk.capacity,
        facts.node_disk.available,
        sum(disk.used for disk in own_disks),
        facts.node_disk.inodes,
        facts.node_disk.inodes_free,
        sum(disk.inodes_used for disk in own_disks),
    )
    entry["ephemeral-storage"] = total.shown(at)
    return entry


def _container(
    at: str, container_id: str, found: ContainerReading, cores: int, facts: Facts, brief: bool
) -> Obj:
    entry: Obj = {
        "name": found.name,
        "startTime": clock.format_time(found.started_at_s),
        **_basic(at, found.stats, cores),
    }
    if not brief:
        if (rootfs := facts.rootfs.get(container_id)) is not None:
            entry["rootfs"] = rootfs.shown(at)
        if (logs := facts.logs.get((found.uid, found.name))) is not None:
            entry["logs"] = logs.shown(at)
    return entry


def _basic(at: str, stats: Stats, cores: int) -> Obj:
    memory: Obj = {
        "time": at,
        "usageBytes": stats.memory_bytes,
        "workingSetBytes": stats.working_set_bytes,
        "rssBytes": stats.rss_bytes,
        "pageFaults": stats.page_faults,
        "majorPageFaults": stats.major_page_faults,
    }
    if stats.memory_limit_bytes:
        memory["availableBytes"] = max(stats.memory_limit_bytes - stats.working_set_bytes, 0)
    return {
        "cpu": {"time": at, "usageNanoCores": cores, "usageCoreNanoSeconds": stats.cpu_ns},
        "memory": memory,
        "swap": {"time": at, "swapUsageBytes": stats.swap_bytes},
    }
