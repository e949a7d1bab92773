"""The node's pages of numbers: which path shows what."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs

import orjson

from sampan.api import podspec, process, prometheus
from sampan.api.objects import Obj
from sampan.api.prometheus import Family, Sample
from sampan.api.streams import NO_NUMBERS, Numbers
from sampan.client.controller import RUNNING
from sampan.kubelet.numbers import families
from sampan.kubelet.numbers.network import Traffic, traffic
from sampan.kubelet.numbers.reading import Reading
from sampan.kubelet.numbers.sampler import Sampler
from sampan.kubelet.numbers.summary import Disk, Facts, summary
from sampan.kubelet.parts import Parts
from sampan.kubelet.volumes.usage import Usage, measure

_JSON = "application/json"
_TRUE = ("true", "1", "t")


class NumberPages:
    """`pod_of` finds a Pod of this node by uid; `pods` lists them."""

    def __init__(
        self,
        parts: Parts,
        sampler: Sampler,
        pods: Callable[[], Sequence[Obj]],
        pod_of: Callable[[str], Obj | None],
    ) -> None:
        self._parts, self._sampler, self._pods, self._pod_of = parts, sampler, pods, pod_of
        self._pages: Mapping[str, Callable[[str], Awaitable[Numbers]]] = {
            "/metrics": self._metrics,
            "/metrics/resource": self._resource,
            "/metrics/cadvisor": self._cadvisor,
            "/metrics/probes": self._probes,
            "/stats/summary": self._summary,
            "/pods": self._pod_list,
            "/configz": self._config,
        }

    async def page(self, path: str) -> Numbers:
        path, _, query = path.partition("?")
        show = self._pages.get(path.rstrip("/") or path)
        return await show(query) if show is not None else NO_NUMBERS

    async def _metrics(self, query: str) -> Numbers:
        records = list(self._parts.runtime.records())
        running = sum(record.exit is None for record in records)
        states = [Sample(running, {"container_state": "running"})]
        states.append(Sample(len(records) - running, {"container_state": "exited"}))
        sandboxes = len(list(self._parts.runtime.sandboxes()))
        own = [
            Family(
                "kubelet_node_name",
                "gauge",
                "The node's name. The count is always 1.",
                [Sample(1, {"node": self._node})],
            ),
            Family(
                "kubelet_running_pods",
                "gauge",
                "Number of pods that have a running pod sandbox",
                [Sample(sandboxes)],
            ),
            Family("kubelet_running_containers", "gauge", "Number of containers currently running", states),
            Family(
                "kubelet_desired_pods",
                "gauge",
                "The number of pods the kubelet is being instructed to run.",
                [Sample(len(self._pods()))],
            ),
        ]
        refused = await self._parts.gate.families()
        return _text([*own, *self._parts.counters.families(), *refused, *_queues(), *process.families()])

    async def _resource(self, query: str) -> Numbers:
        return _text(families.resource(await self._sampler.read()))

    async def _cadvisor(self, query: str) -> Numbers:
        reading = await self._sampler.read()
        found = families.cadvisor(reading, _traffic(reading), self._images(reading), os.cpu_count() or 1)
        return _text(found)

    async def _probes(self, query: str) -> Numbers:
        return _text(self._parts.counters.probe_families())

    async def _summary(self, query: str) -> Numbers:
        brief = parse_qs(query).get("only_cpu_and_memory", [""])[0].lower() in _TRUE
        rates = await self._sampler.usage()
        reading = await self._sampler.read()
        facts = await asyncio.to_thread(self._facts, reading, brief)
        return _json(summary(reading, rates, facts, brief=brief))

    async def _pod_list(self, query: str) -> Numbers:
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(self._pods())})

    async def _config(self, query: str) -> Numbers:
        config = self._parts.config
        shown = {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "clusterDNS": list(config.cluster_dns),
            "clusterDomain": config.cluster_domain,
            "maxPods": config.max_pods,
            "podCIDR": ",".join(config.pod_cidrs),
            "podPidsLimit": config.pod_pids_limit or -1,
            "staticPodPath": str(config.manifests),
            "allowedUnsafeSysctls": list(config.allowed_unsafe_sysctls),
            "systemReserved": dict(config.system_reserved),
            "kubeReserved": dict(config.kube_reserved),
            "imageGCHighThresholdPercent": config.collection.high_threshold_percent,
            "imageGCLowThresholdPercent": config.collection.low_threshold_percent,
            "imageMinimumGCAge": f"{config.collection.minimum_age_s:g}s",
            "imageMaximumGCAge": f"{config.collection.maximum_age_s:g}s",
        }
        return _json({"kubeletconfig": shown})

    def _images(self, reading: Reading) -> dict[str, str]:
        """By container ID: what its Pod calls them."""
        found = {}
        for container_id, container in reading.containers.items():
            pod = self._pod_of(container.uid)
            for _, _, spec in podspec.all_containers(pod["spec"]) if pod is not None else ():
                if spec["name"] == container.name:
                    found[container_id] = spec.get("image", "")
        return found

    @property
    def _node(self) -> str:
        return self._parts.config.node_name

    def _facts(self, reading: Reading, brief: bool) -> Facts:
        """Blocking: walks through what containers wrote, unless `brief`."""
        config = self._parts.config
        node, booted_s = _disk(config.root), reading.at_s - _uptime_s()
        max_pid = int(Path("/proc/sys/kernel/pid_max").read_text())
        if brief:
            return Facts(self._node, booted_s, node, node, max_pid)
        rootfs, logs = {}, {}
        for container_id, found in reading.containers.items():
            rootfs[container_id] = _part(
                node, measure(str(config.root / "containers" / container_id / "upper"))
            )
            logs[found.uid, found.name] = _part(node, measure(str(config.pods / found.uid / found.name)))
        volumes = {
            uid: {name: _part(node, used) for name, used in self._parts.volumes.usage(pod).items()}
            for uid in reading.pods
            if (pod := self._pod_of(uid)) is not None
        }
        images = self._parts.images.listing()
        image_bytes = sum({image.id: image.size_bytes for image in images}.values())
        image_disk = _part(_disk(config.image_root), Usage(image_bytes, 0))
        return Facts(
            self._node, booted_s, node, image_disk, max_pid, _traffic(reading), logs, rootfs, volumes
        )


def _queues() -> list[Family]:
    """Of all controllers of this process."""
    queues = {controller.name: controller.queue for controller in RUNNING}
    depths = [Sample(len(queue), {"name": name}) for name, queue in sorted(queues.items())]
    adds = [Sample(queue.adds, {"name": name}) for name, queue in sorted(queues.items())]
    return [
        Family("workqueue_depth", "gauge", "Current depth of workqueue", depths),
        Family("workqueue_adds_total", "counter", "Total number of adds handled by workqueue", adds),
    ]


def _traffic(reading: Reading) -> dict[str, Traffic]:
    """By Pod uid; Pods in the node's own network have none of their own."""
    found: dict[str, Traffic] = {}
    for container in reading.containers.values():
        if container.uid not in found and (seen := traffic(container.pid)) is not None:
            found[container.uid] = seen
    return found


def _disk(directory: Path) -> Disk:
    try:
        found = os.statvfs(directory)
    except FileNotFoundError:
        return Disk(0, 0, 0, 0, 0, 0)
    unit, inodes = found.f_frsize, found.f_files
    used = (found.f_blocks - found.f_bfree) * unit
    return Disk(
        found.f_blocks * unit, found.f_bavail * unit, used, inodes, found.f_ffree, inodes - found.f_ffree
    )


def _part(disk: Disk, used: Usage) -> Disk:
    """A directory's share of its disk."""
    return Disk(disk.capacity, disk.available, used.bytes, disk.inodes, disk.inodes_free, used.inodes)


def _uptime_s() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _text(found: Sequence[Family]) -> Numbers:
    return Numbers(200, prometheus.CONTENT_TYPE, prometheus.text(found))


def _json(document: Obj) -> Numbers:
    return Numbers(200, _JSON, orjson.dumps(document))
