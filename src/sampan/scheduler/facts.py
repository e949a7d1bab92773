"""What scheduling asks of a Pod and of a node, read once from the objects.

`PodFacts` are values. A `NodeInfo` is owned by the scheduler's cache, which adds and removes Pods as they
come and go; filters and scores only read it. Amounts are in `podspec.amount`'s units: CPU in thousandths of
a core, everything else in whole units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api.objects import (
    Obj,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.api.persistence import claim_keys
from sampan.api.podspec import amount, occupied, toleration_matches

DEFAULT_CPU = 100
"""A container that asks for no CPU counts as 0.1 cores in scores, or all such Pods would land on one node."""
DEFAULT_MEMORY = 200 * 1024 * 1024


class HostPort(NamedTuple):
    ip: str
    protocol: str
    port: int

    def clashes(self, other: HostPort) -> bool:
        if (self.protocol, self.port) != (other.protocol, other.port):
            return False
        return self.ip == other.ip or "0.0.0.0" in (self.ip, other.ip)


@dataclass(frozen=True, slots=True)
class PodFacts:
    key: str
    uid: str
    namespace: str
    labels: Mapping[str, str]
    requests: Mapping[str, int]
    scored: tuple[int, int]
    """(CPU, memory) as scores count them: with a floor for each container."""
    host_ports: tuple[HostPort, ...]
    priority: int
    owner: str
    """uid of the controller, or ""."""
    terminating: bool
    """It is on its way out; its room is taken all the same."""
    spec: Obj
    """For what few Pods have: affinity, tolerations, spread constraints, nodeSelector."""
    claims: tuple[str, ...] = ()
    """Keys of the claims it uses."""

    @property
    def affinity(self) -> Obj:
        return self.spec.get("affinity") or {}


def pod_facts(pod: Obj) -> PodFacts:
    spec = pod["spec"]
    owner = controller_of(pod)
    return PodFacts(
        key_of(pod),
        uid_of(pod),
        namespace_of(pod),
        labels_of(pod),
        occupied(pod),
        _scored(spec),
        tuple(_host_ports(spec)),
        spec.get("priority") or 0,
        owner["uid"] if owner else "",
        is_deleting(pod),
        spec,
        tuple(claim_keys(pod)) if spec.get("volumes") else (),
    )


def _scored(spec: Obj) -> tuple[int, int]:
    cpu = memory = 0
    for container in spec.get("containers") or ():
        asked = (container.get("resources") or {}).get("requests") or {}
        cpu += amount("cpu", asked["cpu"]) if "cpu" in asked else DEFAULT_CPU
        memory += amount("memory", asked["memory"]) if "memory" in asked else DEFAULT_MEMORY
    whole = (spec.get("resources") or {}).get("requests") or {}
    if "cpu" in whole:
        cpu = amount("cpu", whole["cpu"])
    if "memory" in whole:
        memory = amount("memory", whole["memory"])
    return cpu, memory


def _host_ports(spec: Obj) -> list[HostPort]:
    return [
        HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in spec.get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


@dataclass(slots=True)
class NodeInfo:
    """A node and the Pods on it, those included that are assumed to be there soon."""

    node: Obj
    allocatable: dict[str, int] = field(default_factory=dict)
    requested: dict[str, int] = field(default_factory=dict)
    """The sum of `pods`' requests; no entry stays at 0."""
    scored: tuple[int, int] = (0, 0)
    """The sum of `pods`' `scored`."""
    pods: dict[str, PodFacts] = field(default_factory=dict)
    """By uid."""

    def __post_init__(self) -> None:
        self.update(self.node)

    @property
    def name(self) -> str:
        return name_of(self.node)

    @property
    def labels(self) -> dict[str, str]:
        return labels_of(self.node)

    @property
    def taints(self) -> list[Obj]:
        return self.node["spec"].get("taints") or [] if "spec" in self.node else []

    @property
    def unschedulable(self) -> bool:
        return bool((self.node.get("spec") or {}).get("unschedulable"))

    def update(self, node: Obj) -> None:
        self.node = node
        status = node.get("status") or {}
        listed = status.get("allocatable") or status.get("capacity") or {}
        self.allocatable = {name: amount(name, text) for name, text in listed.items()}

    def add(self, pod: PodFacts) -> None:
        if pod.uid in self.pods:
            self.remove(pod.uid)
        self.pods[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, uid: str) -> bool:
        """Whether the Pod was there."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return False
        self._count(pod, -1)
        return True

    def _count(self, pod: PodFacts, sign: int) -> None:
        for name, count in pod.requests.items():
            left = self.requested.get(name, 0) + sign * count
            if left:
                self.requested[name] = left
            else:
                self.requested.pop(name, None)
        self.scored = (self.scored[0] + sign * pod.scored[0], self.scored[1] + sign * pod.scored[1])


def tolerates(spec: Obj, taint: Obj) -> bool:
    return any(toleration_matches(toleration, taint) for toleration in spec.get("tolerations") or ())
