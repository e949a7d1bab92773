"""Gives every Pod that has no node the best node it fits.

One task decides, one Pod after the other and without awaiting, so each decision sees all that came before. A
decided Pod is counted on its node at once ("assumed") and bound by a task of its own; a burst of Pods waits
neither for binds nor for the watch to show them. Pods that fit nowhere sleep until a node or a Pod changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace

from sampan.api.clock import now
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, condition_of, is_deleting, labels_of, name_of, uid_of
from sampan.api.podspec import is_terminal, occupied
from sampan.api.resources import NAMESPACES, NODES, PODS
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.scheduler import diagnosis
from sampan.scheduler.cache import NodeCache
from sampan.scheduler.facts import NodeInfo, PodFacts, pod_facts
from sampan.scheduler.filters import Refusal, asked, check
from sampan.scheduler.queue import Entry, SchedulingQueue
from sampan.scheduler.scores import best
from sampan.scheduler.volumebinder import BindFault, VolumeBinder
from sampan.scheduler.volumes import NotBindable, Placement

NAME = "default-scheduler"

ROOM = frozenset(
    {"NodeResourcesFit", "NodePorts", "VolumeRestrictions", "InterPodAffinity", "PodTopologySpread"}
)
"""Filters whose refusal a Pod that leaves may lift."""
COMPANY = frozenset({"InterPodAffinity", "PodTopologySpread"})
"""Filters whose refusal a Pod that comes may lift."""

STORAGE = frozenset({"VolumeBinding", "VolumeRestrictions"})
"""Filters whose refusal claims, volumes and classes may lift."""

log = logging.getLogger(__name__)


class Scheduler:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self._pods = informers.informer(PODS)
        self._nodes = informers.informer(NODES)
        self._namespaces = informers.informer(NAMESPACES)
        self._cache = NodeCache()
        self._volumes = VolumeBinder(client, informers)
        self._binding: dict[str, asyncio.Task[None]] = {}
        """By uid: Pods that wait for their claims to be bound."""
        self._queue: SchedulingQueue | None = None
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        for informer in (self._nodes, self._pods, self._namespaces):
            await informer.wait_synced()
        self._queue = SchedulingQueue(asyncio.get_running_loop().time)
        await self._volumes.start()
        self._volumes.changed = self._storage_changed
        self._nodes.subscribe(self._node_changed)
        self._pods.subscribe(self._pod_changed)
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                entry = await self._queue.get()
                self._try(entry)
                await asyncio.sleep(0)  # lets the bind go out before the next decision

    @property
    def queue(self) -> SchedulingQueue:
        assert self._queue is not None, "run() makes it"
        return self._queue

    # --- what wakes it

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            if self._cache.set_node(new):
                self.queue.wake()
        elif old is not None:
            self._cache.remove_node(name_of(old))

    def _storage_changed(self) -> None:
        self.queue.wake(lambda entry: not entry.blockers.isdisjoint(STORAGE))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new or old
        assert pod is not None
        uid = uid_of(pod)
        if new is None or is_terminal(new):
            self.queue.forget(uid)
            if (binding := self._binding.get(uid)) is not None:
                binding.cancel()
            if self._cache.remove(uid):
                self.queue.wake(lambda entry: not entry.blockers.isdisjoint(ROOM))
        elif new["spec"].get("nodeName"):
            self.queue.forget(uid)
            if old is None or _differs(old, new):
                news = self._cache.place(pod_facts(new), new["spec"]["nodeName"])
                if old is not None and _shrank(old, new):
                    self.queue.wake(lambda entry: not entry.blockers.isdisjoint(ROOM))
                if news or is_deleting(new) or labels_of(new) != labels_of(old or {"metadata": {}}):
                    self.queue.wake(lambda entry: not entry.blockers.isdisjoint(COMPANY))
        elif not _is_ours(new):
            self.queue.forget(uid)
        elif not self._cache.is_assumed(uid):
            if old is None or _differs(old, new):
                self.queue.add(new)
            else:
                self.queue.update(new)

    # --- what it decides

    def _try(self, entry: Entry) -> None:
        pod = entry.pod
        facts = pod_facts(pod)
        infos = self._cache.nodes()
        namespace_labels = {name_of(each): labels_of(each) for each in self._namespaces.list()}
        try:
            volumes = self._volumes.asked(pod)
        except NotBindable as error:
            message = diagnosis.rejection(len(infos), str(error))
            self._refuse(pod, message, frozenset({"VolumeBinding"}), backs_off=False)
            return
        question = asked(facts, infos, namespace_labels, volumes)
        fitting: list[NodeInfo] = []
        refusals: list[Refusal] = []
        for info in infos:
            refusal = check(question, info)
            if refusal is None:
                fitting.append(info)
            else:
                lower = any(other.priority < facts.priority for other in info.pods.values())
                refusals.append(replace(refusal, victims=lower))
        if fitting:
            chosen = best(facts, fitting, namespace_labels)
            self._cache.assume(facts, chosen.name)
            if volumes.wanted:
                decided = self._volumes.assume(volumes, chosen.node)
                self._binding[facts.uid] = self._start(self._bind_with_volumes(pod, facts, decided))
            else:
                self._start(self._bind(pod, facts, chosen.name))
            return
        message = diagnosis.message(refusals, pod["spec"])
        blockers = frozenset(refusal.filter for refusal in refusals) or frozenset({"Nodes"})
        self._refuse(pod, message, blockers)

    def _refuse(self, pod: Obj, message: str, blockers: frozenset[str], *, backs_off: bool = True) -> None:
        self.queue.failed(pod, blockers, backs_off=backs_off)
        self._events.event(pod, "Warning", "FailedScheduling", message)
        self._start(self._say_unschedulable(pod, message))

    # --- what it does

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work)

    async def _bind_with_volumes(self, pod: Obj, facts: PodFacts, decided: Placement) -> None:
        try:
            await self._volumes.bind(decided)
        except (BindFault, StatusError, OSError) as error:
            self._bind_failed(pod, facts, error, 'PreBind plugin "VolumeBinding": binding volumes')
            return
        finally:
            self._volumes.forget(decided)
            self._binding.pop(facts.uid, None)
        await self._bind(pod, facts, decided.node)

    async def _bind(self, pod: Obj, facts: PodFacts, node: str) -> None:
        try:
            await self._client.bind(pod, node)
        except (StatusError, OSError) as error:
            self._bind_failed(pod, facts, error)
            return
        self.queue.forget(facts.uid)
        message = f"Successfully assigned {facts.key} to {node}"
        self._events.event(pod, "Normal", "Scheduled", message)

    def _bind_failed(
        self,
        pod: Obj,
        facts: PodFacts,
        error: StatusError | OSError | BindFault,
        plugin: str = 'Bind plugin "DefaultBinder"',
    ) -> None:
        """The Pod may have gone or have been bound by another; if not, it is tried again after a while."""
        if self._cache.is_assumed(facts.uid):
            self._cache.remove(facts.uid)
            self.queue.wake(lambda entry: not entry.blockers.isdisjoint(ROOM))
        if isinstance(error, StatusError) and error.code in (404, 409):
            log.info("scheduler: %s not bound: %s", facts.key, error.message)
            latest = self._pods.get(facts.key)
            if latest is None or uid_of(latest) != facts.uid or latest["spec"].get("nodeName"):
                self.queue.forget(facts.uid)
                return
        else:
            log.warning("scheduler: %s not bound: %s", facts.key, error)
            message = f"running {plugin}: {error}"
            self._events.event(pod, "Warning", "FailedScheduling", message)
        self.queue.failed(pod, frozenset())

    async def _say_unschedulable(self, pod: Obj, message: str) -> None:
        said = condition_of(pod, "PodScheduled")
        if said is not None and said.get("message") == message and said["status"] == "False":
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "observedGeneration": pod["metadata"].get("generation", 0),
            "lastProbeTime": None,
            "lastTransitionTime": (said or {}).get("lastTransitionTime") or now(),
        }
        try:
            await self._client.patch_status(PODS, pod, {"conditions": [condition]})
        except (StatusError, OSError) as error:
            # The Pod has gone, or its next try says it again.
            log.info("scheduler: %s: condition not written: %s", name_of(pod), error)


def _is_ours(pod: Obj) -> bool:
    spec = pod["spec"]
    return (
        (spec.get("schedulerName") or NAME) == NAME
        and not is_deleting(pod)
        and not spec.get("schedulingGates")
    )


def _differs(old: Obj, new: Obj) -> bool:
    """Whether anything changed that a decision is made from."""
    return (
        old["spec"] != new["spec"]
        or labels_of(old) != labels_of(new)
        or is_deleting(old) != is_deleting(new)
        or (_may_be_resized(new) and occupied(old) != occupied(new))
    )


def _shrank(old: Obj, new: Obj) -> bool:
    """A resize gave room back."""
    if not _may_be_resized(new):
        return False
    now = occupied(new)
    return any(count > now.get(name, 0) for name, count in occupied(old).items())


def _may_be_resized(pod: Obj) -> bool:
    return (pod["metadata"].get("generation") or 1) > 1
