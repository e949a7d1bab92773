"""What the node has given to which Pod: room is taken when a Pod is admitted and free when it has ended.

All on the event loop and without awaiting, so each Pod is weighed against all that came before it. The
weights of the directories above Pods follow in a task of their own; only the last of several is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sampan.api import podspec
from sampan.api.objects import Obj, uid_of
from sampan.kubelet import allocatable, qos
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.nodeadmission import Rejection, rejection
from sampan.kubelet.preemption import victims
from sampan.kubelet.runtime.contract import Resources, Runtime, RuntimeFault

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Share:
    pod: Obj
    requests: Mapping[str, int]
    burstable: bool


class Allocation:
    """`pressures`: types of the node's conditions of pressure."""

    def __init__(self, runtime: Runtime, config: KubeletConfig, capacity: Mapping[str, str]) -> None:
        self._runtime, self._config, self._capacity = runtime, config, capacity
        self._shares: dict[str, _Share] = {}
        self._used: Counter[str] = Counter()
        """The sum of all shares."""
        self._told: dict[str, Resources] = {}
        self._refused: set[str] = set()
        self._changed = asyncio.Event()
        self.pressures: Collection[str] = ()
        self._waiting: dict[str, tuple[Obj, Callable[[], None]]] = {}
        self.extend({})

    def extend(self, extended: Mapping[str, str]) -> None:
        """What others say that the node has besides."""
        self.extended = dict(extended)
        self.allocatable = allocatable.allocatable({**self._capacity, **extended}, self._config)
        self.room = {name: podspec.amount(name, text) for name, text in self.allocatable.items()}

    def admit(self, pod: Obj, *, known: bool = False) -> Rejection | None:
        """Gives the Pod its room, or says why not. `known`: it was admitted before, by an earlier process."""
        if podspec.is_terminal(pod):
            return None
        if not known:
            refused = rejection(
                pod,
                self._used,
                self.room,
                self.pressures,
                unsafe_sysctls=self._config.allowed_unsafe_sysctls,
                apparmor=self._runtime.features.apparmor,
            )
            if refused is not None:
                return refused
        self.update(pod)
        return None

    def make_room(self, pod: Obj) -> list[str]:
        """uids of the Pods that have to end for it; it has their room then. Empty: it stays refused."""
        asked = {"pods": 1, **podspec.requests(pod)}
        free = self.room_for(uid_of(pod))
        lacking = {
            name: count - free.get(name, 0) for name, count in asked.items() if count > free.get(name, 0)
        }
        chosen = victims(pod, [share.pod for share in self._shares.values()], lacking)
        for victim in chosen:
            self.release(uid_of(victim))
        if chosen:
            self.update(pod)
        return [uid_of(victim) for victim in chosen]

    def update(self, pod: Obj) -> None:
        """Another version of an admitted Pod, or one that was admitted for certain."""
        self.release(uid_of(pod))
        burstable = podspec.qos_class(pod) == "Burstable"
        share = self._shares[uid_of(pod)] = _Share(pod, {"pods": 1, **podspec.requests(pod)}, burstable)
        self._used.update(share.requests)
        self._changed.set()

    def release(self, uid: str) -> None:
        """It has ended, or the API has no such Pod any more. Idempotent."""
        if (share := self._shares.pop(uid, None)) is not None:
            self._used.subtract(share.requests)
            self._changed.set()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._ask_again)

    def room_for(self, uid: str) -> dict[str, int]:
        """What this Pod could have at most while all others keep theirs."""
        own = self._shares[uid].requests if uid in self._shares else {}
        return {name: most - self._used[name] + own.get(name, 0) for name, most in self.room.items()}

    def wait(self, pod: Obj, again: Callable[[], None]) -> None:
        """`again` is called when other Pods have given room back: those that matter more are asked first."""
        self._waiting[uid_of(pod)] = (pod, again)

    def stop_waiting(self, uid: str) -> None:
        self._waiting.pop(uid, None)

    def _ask_again(self) -> None:
        waiting = sorted(self._waiting.values(), key=lambda each: -(each[0]["spec"].get("priority") or 0))
        for _, again in waiting:
            again()

    async def run(self) -> None:
        """Keeps the weights of the directories above Pods, until cancelled."""
        room = allocatable.for_pods(self._capacity, self._config)
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            burstable = sum(
                share.requests.get("cpu", 0) for share in self._shares.values() if share.burstable
            )
            for path, resources in qos.tiers(self._config.cgroup_root, burstable, room).items():
                if self._told.get(path) != resources:
                    await self._tell(path, resources)

    async def _tell(self, path: str, resources: Resources) -> None:
        try:
            await self._runtime.set_tier(path, resources)
        except RuntimeFault as fault:
            # Where the kernel lets nobody set limits, it will not do so for the next Pod either.
            if path not in self._refused:
                self._refused.add(path)
                log.warning("%s", fault.message)
            return
        self._told[path] = resources
