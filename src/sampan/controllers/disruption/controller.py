"""Keeps the status of every PodDisruptionBudget: how many of its Pods may be evicted now.

The API server takes from `disruptionsAllowed` with each eviction; what it took stands in `disruptedPods`
until the Pod is seen to go. A status is written upon the revision that was counted, so neither loses the
other's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sampan.api import resources
from sampan.api.errors import StatusError
from sampan.api.objects import (
    Obj,
    controller_of,
    is_deleting,
    join_key,
    key_of,
    labels_of,
    mutable,
    namespace_of,
    uid_of,
)
from sampan.api.podspec import is_ready
from sampan.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from sampan.api.selectors import Selector, label_selector_from
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.disruption import plan

BUDGETS = resources.resource("policy", "v1", "poddisruptionbudgets")
STATEFUL_SETS = resources.resource("apps", "v1", "statefulsets")
REPLICATION_CONTROLLERS = resources.resource("", "v1", "replicationcontrollers")
SCALED = {
    "ReplicaSet": REPLICA_SETS,
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "ReplicationController": REPLICATION_CONTROLLERS,
}


class DisruptionController:
    def __init__(self, client: Client, informers: Informers, events: EventRecorder) -> None:
        self._client, self._events = client, events
        self._budgets = informers.informer(BUDGETS)
        self._pods = informers.informer(PODS)
        self._scaled = {kind: informers.informer(resource) for kind, resource in SCALED.items()}
        self._controller = Controller("disruption", self.reconcile)
        for informer in (self._budgets, self._pods):
            informer.add_index("namespace", lambda obj: (namespace_of(obj),))

    async def run(self) -> None:
        for informer in (self._budgets, self._pods, *self._scaled.values()):
            await informer.wait_synced()
        self._controller.follow(self._budgets)
        self._pods.subscribe(self._pod_changed)
        for informer in self._scaled.values():
            informer.subscribe(self._scale_changed)
        await self._controller.run()

    # --- what wakes it

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _facts(old) == _facts(new):
            return
        for pod in (old, new):
            if pod is not None:
                for key in self._of(pod):
                    self._controller.enqueue(key)

    def _of(self, pod: Obj) -> Iterable[str]:
        for budget in self._budgets.by_index("namespace", namespace_of(pod)):
            selector = _selector(budget)
            if selector is not None and selector.matches(labels_of(pod)):
                yield key_of(budget)

    def _scale_changed(self, old: Obj | None, new: Obj | None) -> None:
        if _replicas(old) == _replicas(new):
            return
        for budget in self._budgets.by_index("namespace", namespace_of(new or old or {})):
            self._controller.enqueue(key_of(budget))

    # --- what it does

    async def reconcile(self, key: str) -> float | None:
        budget = self._budgets.get(key)
        if budget is None or is_deleting(budget):
            return None
        now_s = time.time()
        selector = _selector(budget)
        pods = [
            pod
            for pod in self._pods.by_index("namespace", namespace_of(budget))
            if selector is not None and selector.matches(labels_of(pod))
        ]
        again_s: float | None = None
        try:
            wanted = plan.expected(budget, pods, lambda owner: self._scale(namespace_of(budget), owner))
        except plan.Uncountable as problem:
            text = f"Failed to calculate the number of expected pods: {problem}"
            self._events.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            status = plan.failed_status(budget, str(problem), now_s)
        else:
            self._tell(budget, pods, wanted)
            disrupted = (budget.get("status") or {}).get("disruptedPods") or {}
            kept, again_s, failed = plan.confirmed(disrupted, pods, now_s)
            for name in failed:
                self._not_deleted(join_key(namespace_of(budget), name))
            status = plan.status(budget, pods, wanted, kept, now_s)
        await self._write(budget, status)
        return again_s

    def _tell(self, budget: Obj, pods: list[Obj], wanted: plan.Expected) -> None:
        if not pods:
            self._events.event(budget, "Normal", "NoPods", "No matching pods found")
        if wanted.unmanaged:
            text = (
                "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, "
                "the status of the PDB cannot be calculated correctly, "
                "which may result in undefined behavior. Pods: "
            )
            self._events.event(budget, "Warning", "UnmanagedPods", text + ", ".join(wanted.unmanaged))

    def _not_deleted(self, pod_key: str) -> None:
        pod = self._pods.get(pod_key)
        if pod is not None:
            text = "Pod was expected by PDB to be deleted but it wasn't"
            self._events.event(pod, "Warning", "NotDeleted", text)

    def _scale(self, namespace: str, owner: Obj) -> tuple[str, int] | None:
        """A ReplicaSet of a Deployment stands for all of the Deployment."""
        informer = self._scaled.get(owner["kind"])
        found = informer.get(join_key(namespace, owner["name"])) if informer is not None else None
        if informer is None:
            return None
        if found is None or uid_of(found) != owner["uid"]:
            return owner["uid"], 0  # gone: its Pods will follow
        above = controller_of(found)
        if above is not None and above["kind"] == "Deployment":
            return self._scale(namespace, above)
        return owner["uid"], (found.get("spec") or {}).get("replicas", 1)

    async def _write(self, budget: Obj, status: Obj) -> None:
        if budget.get("status") == status:
            return
        changed = mutable(budget)
        changed["status"] = status
        try:
            await self._client.update_status(BUDGETS, changed)
        except StatusError as error:
            if error.code != 404:
                raise


def _selector(budget: Obj) -> Selector | None:
    selector = (budget.get("spec") or {}).get("selector")
    return label_selector_from(selector) if selector is not None else None


def _facts(pod: Obj) -> object:
    """All that a budget looks at."""
    return labels_of(pod), is_ready(pod), is_deleting(pod), controller_of(pod)


def _replicas(obj: Obj | None) -> int | None:
    return (obj.get("spec") or {}).get("replicas", 1) if obj is not None else None
