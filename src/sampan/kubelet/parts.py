"""What all Pod workers of a node share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sampan.api.objects import Obj
from sampan.api.prometheus import Family
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.kubelet.allocation import Allocation
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.containerview import ContainerView
from sampan.kubelet.env import Surroundings
from sampan.kubelet.hooks import Hooks
from sampan.kubelet.images.contract import Images
from sampan.kubelet.network.contract import PodNetwork
from sampan.kubelet.numbers.counters import Counters
from sampan.kubelet.probers import Prober
from sampan.kubelet.references import References
from sampan.kubelet.resolvconf import Resolver
from sampan.kubelet.runtime.contract import Runtime
from sampan.kubelet.volumes.volumes import Volumes


class Gate(Protocol):
    """Who lets a Pod with an address of its own onto the network: its packets are held to policies."""

    async def admitted(self, pod: Obj, ips: tuple[str, ...]) -> None:
        """Returns when the Pod may send and be sent packets; OSError if that cannot be had in time."""

    def left(self, uid: str) -> None:
        """Nothing of the Pod runs any more, and its addresses are free."""

    async def families(self) -> list[Family]:
        """What was refused, for the node's /metrics."""


class OpenGate:
    """Lets everybody pass."""

    async def admitted(self, pod: Obj, ips: tuple[str, ...]) -> None:
        return

    def left(self, uid: str) -> None:
        return

    async def families(self) -> list[Family]:
        return []


class Say(Protocol):
    """An Event about the Pod at hand, or about one container of it."""

    def __call__(
        self,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        container: ContainerView | None = None,
    ) -> None: ...


Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a task of the Pod at hand, whose worker looks again when it has ended."""


@dataclass(frozen=True, slots=True)
class Parts:
    client: Client
    events: EventRecorder
    runtime: Runtime
    images: Images
    network: PodNetwork
    volumes: Volumes
    references: References
    prober: Prober
    hooks: Hooks
    config: KubeletConfig
    node_memory_bytes: int
    node_resolver: Resolver
    allocatable: Callable[[], dict[str, str]]
    services: Callable[[], Sequence[Obj]]
    drained: Callable[[Obj], Awaitable[None]]
    allocation: Allocation
    counters: Counters = field(default_factory=Counters)
    gate: Gate = field(default_factory=OpenGate)

    def surroundings(self, pod_ips: tuple[str, ...]) -> Surroundings:
        return Surroundings(
            pod_ips=pod_ips,
            host_ips=self.network.node_ips,
            node_name=self.config.node_name,
            allocatable=self.allocatable(),
        )
