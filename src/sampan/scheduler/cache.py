"""The nodes and the Pods on them, as the scheduler counts them: what the informers show, and what it has
decided and they do not show yet. Changed by handlers and the scheduler's tasks on one loop; nothing awaits.
"""

from __future__ import annotations

from sampan.api.objects import Obj, name_of
from sampan.scheduler.facts import NodeInfo, PodFacts


class NodeCache:
    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        """Every node that is there, and every one that a Pod names; the latter have no `_known` entry."""
        self._known: set[str] = set()
        self._places: dict[str, str] = {}
        """Pod uid -> node name, of every Pod in `_nodes`."""
        self._assumed: set[str] = set()
        """uids of Pods whose bind is not seen yet."""

    def nodes(self) -> list[NodeInfo]:
        return [self._nodes[name] for name in self._known]

    def set_node(self, node: Obj) -> bool:
        """Whether anything changed that a Pod that waits may care for."""
        name = name_of(node)
        info = self._info(name)
        was = _schedulable_as(info) if name in self._known else None
        info.update(node)
        self._known.add(name)
        return was != _schedulable_as(info)

    def remove_node(self, name: str) -> None:
        self._known.discard(name)
        self._drop_if_empty(name)

    def place(self, pod: PodFacts, node: str) -> bool:
        """The Pod is on the node, as the API shows it; whether that is news."""
        self._assumed.discard(pod.uid)
        news = self._places.get(pod.uid) != node
        if news:
            self._take(pod.uid)
        self._info(node).add(pod)
        self._places[pod.uid] = node
        return news

    def assume(self, pod: PodFacts, node: str) -> None:
        self.place(pod, node)
        self._assumed.add(pod.uid)

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def remove(self, uid: str) -> bool:
        """The Pod has gone, has ended, or could not be bound; whether it had a place."""
        self._assumed.discard(uid)
        return self._take(uid)

    def _take(self, uid: str) -> bool:
        name = self._places.pop(uid, None)
        if name is None:
            return False
        self._nodes[name].remove(uid)
        self._drop_if_empty(name)
        return True

    def _info(self, name: str) -> NodeInfo:
        if name not in self._nodes:
            self._nodes[name] = NodeInfo({"metadata": {"name": name}})
        return self._nodes[name]

    def _drop_if_empty(self, name: str) -> None:
        if name not in self._known and name in self._nodes and not self._nodes[name].pods:
            del self._nodes[name]


def _schedulable_as(info: NodeInfo) -> tuple[object, ...]:
    return info.labels, info.taints, info.unschedulable, info.allocatable
