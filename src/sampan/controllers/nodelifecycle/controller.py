"""Watches over the nodes: who renews its lease, who does not, and which Pods have to leave.

Two queues. Nodes: a node is looked at when it changes and when the grace period after its last sign of
life is over; a sign of life is a lease or a status that was seen to change, on this process's own clock,
so that clocks of nodes need not agree and a restart, or a pause of this process, gives everybody the
whole grace period again. Pods: a Pod is looked at when it or its node's taints change, and when its
toleration ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sampan.api.clock import format_time
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, condition_of, is_deleting, key_of, mutable, name_of, namespace_of, uid_of
from sampan.api.podspec import is_ready, is_terminal
from sampan.api.resources import LEASES, NODES, PODS
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import placement
from sampan.controllers.nodelifecycle.eviction import leaves_at
from sampan.controllers.nodelifecycle.health import ready_status, silent_conditions, wanted_taints

GRACE_S = 40.0
STALL_S = 5.0
"""So late nobody looks at a node unless this process itself stood still, and heard nothing for that."""
LEASE_NAMESPACE = "kube-node-lease"


class NodeLifecycleController:
    def __init__(
        self,
        client: Client,
        informers: Informers,
        events: EventRecorder,
        *,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._events = events
        self._grace_s = grace_s
        self._clock = clock
        self._nodes = informers.informer(NODES)
        self._leases = informers.informer(LEASES, namespace=LEASE_NAMESPACE)
        self._pods = informers.informer(PODS)
        self._heard: dict[str, float] = {}
        """Node -> when a sign of life was last seen."""
        self._met: dict[str, float] = {}
        """Pod that has to leave some time -> when it was first seen on its tainted node."""
        self._health = Controller("nodelifecycle", self.reconcile_node)
        self._eviction = Controller("tainteviction", self.reconcile_pod)
        placement.index_pods(self._pods)

    async def run(self) -> None:
        for informer in (self._nodes, self._leases, self._pods):
            await informer.wait_synced()
        self._leases.subscribe(self._lease_changed)
        self._nodes.subscribe(self._node_changed)
        self._pods.subscribe(self._pod_changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._health.run())
            group.create_task(self._eviction.run())

    # --- what wakes it

    def _lease_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            return
        self._heard[name_of(new)] = self._clock()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        node = new or old
        assert node is not None
        name = name_of(node)
        if new is None:
            self._heard.pop(name, None)
        elif old is None:
            self._heard[name] = self._clock()
            message = f"Node {name} event: Registered Node {name} in Controller"
            self._events.event(new, "Normal", "RegisteredNode", message)
        elif _heartbeats(old) != _heartbeats(new):
            self._heard[name] = self._clock()
        self._health.enqueue(name)
        before = ((old or {}).get("spec") or {}).get("taints")
        if before != ((new or {}).get("spec") or {}).get("taints"):
            for pod in placement.pods_on(self._pods, name):
                self._eviction.enqueue(key_of(pod))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self._met.pop(key_of(old or {}), None)
            return
        if not new["spec"].get("nodeName"):
            return
        arrived = old is None or not old["spec"].get("nodeName")
        if arrived or (old or {})["spec"].get("tolerations") != new["spec"].get("tolerations"):
            self._eviction.enqueue(key_of(new))

    # --- nodes

    async def reconcile_node(self, name: str) -> float | None:
        node = self._nodes.get(name)
        if node is None:
            return None
        left_s = self._heard.setdefault(name, self._clock()) + self._grace_s - self._clock()
        if left_s < -STALL_S and ready_status(node) == "True":
            self._heard[name] = self._clock()
            return self._grace_s
        if left_s <= 0:
            node = await self._mark_silent(node)
        if ready_status(node) != "True":
            await self._mark_pods_not_ready(node)
        await self._taint(node)
        # One timer a node: it is set for when the grace period would be over if nothing more were heard.
        return left_s if left_s > 0 else None

    async def _mark_silent(self, node: Obj) -> Obj:
        status = node.get("status") or {}
        created = node["metadata"].get("creationTimestamp", "")
        listed = silent_conditions(status.get("conditions") or [], created, time.time())
        if listed is None:
            return node
        changed = mutable(node)
        changed["status"] = {**status, "conditions": listed}
        self._events.event(
            node, "Normal", "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady"
        )
        return await self._client.update_status(NODES, changed)

    async def _taint(self, node: Obj) -> None:
        present = (node.get("spec") or {}).get("taints") or []
        taints = wanted_taints(node, time.time())
        if taints == present:
            return
        revision = node["metadata"]["resourceVersion"]
        patch: Obj = {"metadata": {"resourceVersion": revision}, "spec": {"taints": taints or None}}
        await self._client.patch(NODES, name_of(node), patch)

    async def _mark_pods_not_ready(self, node: Obj) -> None:
        """A node that said nothing yet has no Pods to speak of; those of others are not to be counted on."""
        if condition_of(node, "Ready") is None:
            return
        for pod in placement.pods_on(self._pods, name_of(node)):
            ready = condition_of(pod, "Ready")
            if ready is None or not is_ready(pod) or is_terminal(pod):
                continue
            condition = {**ready, "status": "False", "lastTransitionTime": format_time(time.time())}
            self._events.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            await self._patch_condition(pod, condition)

    # --- Pods

    async def reconcile_pod(self, key: str) -> float | None:
        pod = self._pods.get(key)
        if pod is None or is_deleting(pod) or is_terminal(pod):
            self._met.pop(key, None)
            return None
        node = self._nodes.get(pod["spec"].get("nodeName", ""))
        taints = ((node or {}).get("spec") or {}).get("taints") or []
        leaves = leaves_at(pod, taints, self._met.setdefault(key, time.time()))
        if leaves is None:
            del self._met[key]
            return None
        left_s = leaves - time.time()
        if left_s > 0:
            return left_s
        await self._evict(pod)
        return None

    async def _evict(self, pod: Obj) -> None:
        message = f"Marking for deletion Pod {key_of(pod)}"
        self._events.event(pod, "Normal", "TaintManagerEviction", message)
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": format_time(time.time()),
        }
        await self._patch_condition(pod, condition)
        try:
            await self._client.delete(PODS, name_of(pod), namespace=namespace_of(pod), uid=uid_of(pod))
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def _patch_condition(self, pod: Obj, condition: Obj) -> None:
        try:
            await self._client.patch_status(PODS, pod, {"conditions": [condition]})
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def _heartbeats(node: Obj) -> list[tuple[str, str]]:
    """What of a node's status only its kubelet changes."""
    listed = (node.get("status") or {}).get("conditions") or ()
    return [(each["type"], each.get("lastHeartbeatTime") or "") for each in listed]
