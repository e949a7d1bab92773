"""The node's static Pods: which files say what, who runs it, and what stands for it in the API.

`start` gives a Pod a worker, as for the Pods of the API. A file that changes makes another Pod of the same
name: it begins when the one before has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from sampan.api.objects import Obj, key_of, uid_of
from sampan.api.podspec import is_terminal
from sampan.client.informer import Informer
from sampan.kubelet.manifests import Manifests
from sampan.kubelet.mirror import Mirrors
from sampan.kubelet.parts import Parts
from sampan.kubelet.staticpods import behind, mirrored
from sampan.kubelet.worker import Worker


class StaticPods:
    """`workers`: all of the node, by uid; `pods` and `nodes`: what the API has of this node."""

    def __init__(
        self,
        parts: Parts,
        pods: Informer,
        nodes: Informer,
        workers: Mapping[str, Worker],
        start: Callable[[Obj], None],
        warn: Callable[[str, str], None],
    ) -> None:
        self._parts, self._pods, self._workers, self._start = parts, pods, workers, start
        config = parts.config
        self._manifests = Manifests(config.manifests, config.node_name, warn)
        self._mirrors = Mirrors(parts.client, self._running, pods.get, lambda: nodes.get(config.node_name))
        self._nodes = nodes
        self._wanted: dict[str, Obj] = {}

    async def run(self) -> None:
        """Until cancelled. Pods may start before it runs, by `look`."""
        self._nodes.subscribe(self._node_changed)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mirrors.run(), name="mirrors")
            group.create_task(self._manifests.run(self.look), name="manifests")

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None:
            for key in self._wanted:
                self._mirrors.look(key)

    def look(self) -> None:
        """Into the directory: starts what is new, ends what is gone."""
        before, self._wanted = self._wanted, self._manifests.look()
        for key in sorted(before.keys() | self._wanted.keys()):
            then, now = before.get(key), self._wanted.get(key)
            if then is not None and (now is None or uid_of(now) != uid_of(then)):
                self._end(uid_of(then))
            self._settle(key)

    def changed(self, old: Obj | None, new: Obj | None) -> bool:
        """Whether it is a mirror, and not a Pod for a worker; told of every Pod of the API."""
        pod = new if new is not None else old
        assert pod is not None
        self._mirrors.look(key_of(pod))
        if (worker := self._meant(pod)) is not None:
            worker.mirrored(new)
            if new is not None and is_terminal(new):
                self._parts.allocation.release(worker.view.uid)
        return bool(mirrored(pod))

    def employed(self, worker: Worker) -> None:
        """It is new, and may go on with what the API says of its Pod."""
        mirror = self._pods.get(key_of(worker.view.pod))
        if mirror is not None and self._meant(mirror) is worker:
            worker.mirrored(mirror)

    def ended(self, pod: Obj) -> None:
        """Its worker is gone, with all that the Pod had."""
        self._parts.allocation.release(uid_of(pod))
        self._settle(key_of(pod))

    def listed(self) -> list[Obj]:
        """Pods that run, or will."""
        return list(self._wanted.values())

    def behind(self, pod: Obj) -> Obj:
        """What runs here in the name of a Pod of the API."""
        return behind(pod) if self._meant(pod) is not None else pod

    def _end(self, uid: str) -> None:
        if (worker := self._workers.get(uid)) is not None:
            worker.gone()

    def _settle(self, key: str) -> None:
        pod = self._wanted.get(key)
        if pod is not None and self._running(key) is None:
            self._start(pod)
        self._mirrors.look(key)

    def _running(self, key: str) -> Obj | None:
        """The static Pod of that name that has a worker, be it about to end."""
        for worker in self._workers.values():
            if worker.view.static and key_of(worker.view.pod) == key:
                return worker.view.pod
        return None

    def _meant(self, mirror: Obj) -> Worker | None:
        """Who runs what it stands for. Anybody may write such an annotation: the name counts as well."""
        worker = self._workers.get(mirrored(mirror))
        if worker is None or not worker.view.static or key_of(worker.view.pod) != key_of(mirror):
            return None
        return worker
