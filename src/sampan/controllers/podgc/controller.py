"""Takes Pods away that no kubelet will ever end.

The queue's keys are node names, and `""` for what has nothing to do with a node. A node that is gone is given
`QUARANTINE_S` to come back before its Pods are forced out, and is asked for afresh before that.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sampan.api.clock import format_time
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, name_of, namespace_of, uid_of
from sampan.api.podspec import is_terminal
from sampan.api.resources import NODES, PODS
from sampan.client.client import Client
from sampan.client.controller import Controller
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers import placement
from sampan.controllers.podgc.plan import KEPT_MOST, Doomed, beyond_threshold, never_scheduled, orphaned

QUARANTINE_S = 40.0
NO_NODE = ""


class PodGarbageCollector:
    def __init__(
        self,
        client: Client,
        informers: Informers,
        events: EventRecorder,
        *,
        kept: int = KEPT_MOST,
        quarantine_s: float = QUARANTINE_S,
    ) -> None:
        self._client = client
        self._kept = kept
        self._quarantine_s = quarantine_s
        self._pods = informers.informer(PODS)
        self._nodes = informers.informer(NODES)
        self._finished = 0
        """How many Pods of the cache have ended."""
        self._missing_since: dict[str, float] = {}
        """By node that Pods name and that is not there: when that was noticed, on the loop's clock."""
        self._controller = Controller("podgc", self.reconcile, workers=1)
        placement.index_pods(self._pods)

    async def run(self) -> None:
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        self._nodes.subscribe(self._node_changed)
        self._pods.subscribe(self._pod_changed)
        await self._controller.run()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            self._controller.enqueue(name_of(old))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._finished += bool(new and is_terminal(new)) - bool(old and is_terminal(old))
        if self._finished > self._kept:
            self._controller.enqueue(NO_NODE)
        if new is None:
            return
        node = new["spec"].get("nodeName", NO_NODE)
        if node == NO_NODE:
            if is_deleting(new):
                self._controller.enqueue(NO_NODE)
        elif node not in self._missing_since and self._nodes.get(node) is None:
            self._controller.enqueue(node)

    async def reconcile(self, key: str) -> float | None:
        if key == NO_NODE:
            pods = self._pods.list()
            await self._end([*never_scheduled(pods), *beyond_threshold(pods, self._kept)])
            return None
        if self._nodes.get(key) is not None:
            self._missing_since.pop(key, None)
            return None
        pods = placement.pods_on(self._pods, key)
        if not pods:
            self._missing_since.pop(key, None)
            return None
        since = self._missing_since.setdefault(key, time.monotonic())
        left_s = since + self._quarantine_s - time.monotonic()
        if left_s > 0:
            return left_s
        if await self._is_gone(key):
            await self._end(orphaned(pods, {key}))
        self._missing_since.pop(key, None)
        return None

    async def _is_gone(self, node: str) -> bool:
        try:
            await self._client.get(NODES, node)
        except StatusError as error:
            if error.code == 404:
                return True
            raise
        return False

    async def _end(self, doomed: Iterable[Doomed]) -> None:
        for each in doomed:
            pod = each.pod
            try:
                if not is_terminal(pod) and (each.message or is_deleting(pod)):
                    await self._fail(each)
                await self._client.delete(
                    PODS, name_of(pod), namespace=namespace_of(pod), uid=uid_of(pod), grace_period_s=0
                )
            except StatusError as error:
                if error.code not in (404, 409):
                    raise

    async def _fail(self, doomed: Doomed) -> None:
        """A Pod that never ended would be counted as running by those who look at it last."""
        status: Obj = {"phase": "Failed"}
        if doomed.message:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": doomed.message,
                "lastTransitionTime": format_time(time.time()),
            }
            status["conditions"] = [condition]
        await self._client.patch_status(PODS, doomed.pod, status)
