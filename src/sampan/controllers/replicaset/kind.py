"""The two kinds that keep a number of Pods: ReplicaSet, and ReplicationController from before it.

They differ in how they write their selector and in one count of their status, and in nothing else that the
controller sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sampan.api.objects import Obj
from sampan.api.resources import REPLICA_SETS, REPLICATION_CONTROLLERS, Resource
from sampan.api.selectors import Selector, label_selector_from


@dataclass(frozen=True, slots=True)
class Kind:
    """`selector` reads the selector out of an object of the kind."""

    resource: Resource
    selector: Callable[[Obj], Selector]
    counts_terminating: bool
    """Whether the status has `terminatingReplicas`."""


def _of_set(replica_set: Obj) -> Selector:
    return label_selector_from(replica_set["spec"]["selector"])


def _of_controller(controller: Obj) -> Selector:
    return label_selector_from({"matchLabels": controller["spec"]["selector"]})


REPLICA_SET = Kind(REPLICA_SETS, _of_set, counts_terminating=True)
REPLICATION_CONTROLLER = Kind(REPLICATION_CONTROLLERS, _of_controller, counts_terminating=False)
