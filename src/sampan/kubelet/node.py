"""The node's own objects: the Node, which says what it is and that it is Ready, and the Lease of its life.

The Node is registered Ready, so that Pods can be scheduled at once. Two timers tick: the Lease every 10 s (a
quarter of its duration), the conditions every 5 min, or with the Lease if somebody says otherwise of the node
than it does itself (concepts/architecture/nodes, "Node heartbeats").
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from sampan.api import clock, podspec
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, condition_is_true, condition_of
from sampan.api.request import STRATEGIC_MERGE_PATCH
from sampan.api.resources import LEASES, NODES
from sampan.client.client import Client
from sampan.kubelet.allocatable import allocatable, extended
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.images.contract import Image
from sampan.kubelet.images.reference import parse
from sampan.kubelet.machine import Machine
from sampan.kubelet.runtime.contract import PLAIN, Features

VERSION = "v1.35.0+sampan"
LEASE_NAMESPACE = "kube-node-lease"
RENEWALS = 4
"""Within the time that a lease lasts."""
LONGEST_RETRY_S = 10.0
HEARTBEAT_S = 300.0
RETRY_S = 0.2
RETRIES_LOGGED = 10
IMAGES_SHOWN = 50

_HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
_SHORT = {
    "MemoryPressure": ("True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("True", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


def capacity(machine: Machine, config: KubeletConfig) -> dict[str, str]:
    """What the node can give, as quantities."""
    found = {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        "pods": str(config.max_pods),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }
    for name, count in machine.huge_pages.items():
        found[name] = str(podspec.as_quantity(name, count))
    return found | dict(config.capacity)


def node_object(config: KubeletConfig, machine: Machine) -> Obj:
    """The Node without its status."""
    labels = {
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
    }
    cidrs = list(config.pod_cidrs)
    spec: Obj = {"podCIDR": cidrs[0], "podCIDRs": cidrs} if cidrs else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.node_name, "labels": labels | dict(config.node_labels)},
        "spec": spec,
    }


def node_status(
    config: KubeletConfig,
    machine: Machine,
    ips: Sequence[str],
    images: Sequence[Image],
    old: Obj,
    now_s: float,
    pressures: Collection[str] = (),
    features: Features = PLAIN,
) -> Obj:
    """`old` is the Node as it was, for the times of transitions, and for resources that others say it has.

    `pressures` are the types of the conditions that hold although they should not.
    """
    found = capacity(machine, config) | extended(old)
    room: dict[str, str | None] = {**allocatable(found, config)}
    gone = ((old.get("status") or {}).get("allocatable") or {}).keys() - room.keys()
    stamp = clock.format_time(now_s)
    conditions = []
    for kind, *healthy in _HEALTHY:
        status, reason, message = _SHORT[kind] if kind in pressures else healthy
        before = condition_of(old, kind)
        kept = before is not None and before["status"] == status
        conditions.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": stamp,
                "lastTransitionTime": before["lastTransitionTime"] if kept and before else stamp,
                "reason": reason,
                "message": message,
            }
        )
    addresses = [{"type": "InternalIP", "address": ip} for ip in ips]
    return {
        "capacity": found,
        "allocatable": room | dict.fromkeys(gone),
        "conditions": conditions,
        "addresses": [*addresses, {"type": "Hostname", "address": config.node_name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": config.runtime_version,
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.architecture,
        },
        "features": {"supplementalGroupsPolicy": True},
        "runtimeHandlers": _handlers(features),
        "images": _images(images),
    }


def _images(images: Sequence[Image]) -> list[Obj]:
    """Each with all its names, by digest and by tag; the largest first, as upstream has them."""
    names: dict[str, dict[str, None]] = {}
    sizes = {image.id: image.size_bytes for image in images}
    for image in images:
        repository = parse(image.reference).name
        own = names.setdefault(image.id, {})
        own |= dict.fromkeys((f"{repository}@{image.digest}", image.reference))
    ordered = sorted(names, key=lambda image_id: -sizes[image_id])[:IMAGES_SHOWN]
    return [{"names": sorted(names[found], key=_tags_last), "sizeBytes": sizes[found]} for found in ordered]


def _tags_last(name: str) -> tuple[bool, str]:
    return "@" not in name, name


def _handlers(features: Features) -> list[Obj]:
    """What a RuntimeClass may name; the default one has no name as well."""
    listed = []
    for name in ("", *features.handlers):
        can = {
            "recursiveReadOnlyMounts": features.recursive_read_only,
            "userNamespaces": (name or features.handlers[0]) in features.user_namespaces,
        }
        listed.append({"name": name, "features": can})
    return listed


class NodeReporter:
    """`registered` is set once the API has the Node as Ready."""

    def __init__(
        self,
        client: Client,
        config: KubeletConfig,
        machine: Machine,
        images: Callable[[], Sequence[Image]],
    ) -> None:
        self._client, self._config, self._machine, self._images = client, config, machine, images
        self.ips: Sequence[str] = ()
        self.pressures: Collection[str] = ()
        self.features = PLAIN
        self.registered = asyncio.Event()
        self._news = asyncio.Event()

    def poke(self) -> None:
        """Something of the status has changed that others act on: it is posted now."""
        self._news.set()

    async def run(self) -> None:
        await self._until_done(self._register)
        self.registered.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(self._config.lease_s / RENEWALS, self._renew), name="lease")
            group.create_task(self._every(0.0, self._heartbeat), name="heartbeat")

    async def _register(self) -> None:
        node = node_object(self._config, self._machine)
        node["status"] = self._status({"metadata": {}})
        wanted = {key: node[key] for key in ("metadata", "spec")}
        try:
            created = await self._client.create(NODES, node)
        except StatusError as error:
            if error.code != 409:
                raise
            patch: Obj = {"metadata": {"labels": wanted["metadata"]["labels"]}}
            current = await self._client.patch(
                NODES, self._config.node_name, patch, content_type=STRATEGIC_MERGE_PATCH
            )
            if not (current.get("spec") or {}).get("podCIDR") and wanted["spec"]:
                await self._client.patch(
                    NODES,
                    self._config.node_name,
                    {"spec": wanted["spec"]},
                    content_type=STRATEGIC_MERGE_PATCH,
                )
            await self._post(current)
            return
        # A server that keeps a status given at creation saves a write; one that drops it gets it now.
        if condition_of(created, "Ready") is None:
            await self._post(created)

    async def _heartbeat(self) -> None:
        """The first one comes a period after the registration, which said the same."""
        with contextlib.suppress(TimeoutError):  # nothing new is a sign of life all the same
            await asyncio.wait_for(self._news.wait(), HEARTBEAT_S)
        self._news.clear()
        await self._post(await self._client.get(NODES, self._config.node_name))

    async def _post(self, node: Obj) -> None:
        status = self._status(node)
        # Addresses are merged by type: without this, two InternalIPs would be added to the two there are.
        status["addresses"] = [*status["addresses"], {"$patch": "replace"}]
        await self._client.patch(
            NODES,
            self._config.node_name,
            {"status": status},
            content_type=STRATEGIC_MERGE_PATCH,
            subresource="status",
        )

    def _status(self, old: Obj) -> Obj:
        images = self._images()
        now_s = time.time()
        told = (self.pressures, self.features)
        return node_status(self._config, self._machine, self.ips, images, old, now_s, *told)

    async def _renew(self) -> None:
        await self._renew_lease()
        node = await self._client.get(NODES, self._config.node_name)
        if not condition_is_true(node, "Ready"):
            await self._post(node)

    async def _renew_lease(self) -> None:
        now = clock.now_micro()
        name = self._config.node_name
        try:
            fresh = {"renewTime": now, "leaseDurationSeconds": self._config.lease_s}
            await self._client.patch(LEASES, name, {"spec": fresh}, namespace=LEASE_NAMESPACE)
        except StatusError as error:
            if error.code != 404:
                raise
            spec: Obj = {
                "holderIdentity": name,
                "leaseDurationSeconds": self._config.lease_s,
                "renewTime": now,
            }
            metadata: Obj = {"name": name, "namespace": LEASE_NAMESPACE}
            lease: Obj = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": metadata,
                "spec": spec,
            }
            node = await self._client.get(NODES, name)
            metadata["ownerReferences"] = [
                {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
            ]
            await self._client.create(LEASES, lease)

    async def _every(self, period_s: float, work: Work) -> None:
        while True:
            await self._until_done(work)
            await asyncio.sleep(period_s)

    async def _until_done(self, work: Work) -> None:
        tries = 0
        while True:
            try:
                await work()
                return
            except StatusError as error:
                if error.code == 404 and work is not self._register and self.registered.is_set():
                    # Somebody deleted the Node: a node that runs has one.
                    await self._until_done(self._register)
                problem = error.message
            except OSError as error:
                problem = str(error)
            tries += 1
            if tries % RETRIES_LOGGED == 1:
                log.warning("node %s: %s", self._config.node_name, problem)
            await asyncio.sleep(min(RETRY_S * 2 ** min(tries, 6), LONGEST_RETRY_S))
