"""Which Pods are on a node, without a walk over all of them.

Several controllers ask, of one informer that they share; so the index and its name stand here once.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.objects import Obj
from sampan.client.informer import Informer

INDEX = "node"


def index_pods(pods: Informer) -> None:
    pods.add_index(INDEX, _node_of)


def pods_on(pods: Informer, node: str) -> list[Obj]:
    """Those that were given to the node, in whatever phase."""
    return pods.by_index(INDEX, node)


def _node_of(pod: Obj) -> Iterable[str]:
    node = pod["spec"].get("nodeName")
    return (node,) if node else ()
