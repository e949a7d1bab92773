"""A node's Pods moved away: no new ones come, those that are there are evicted as their budgets allow.

Source: tasks/administer-cluster/safely-drain-node; concepts/scheduling-eviction/api-eviction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sampan.api.errors import StatusError
from sampan.api.nodeselector import selects
from sampan.api.objects import Obj, annotations_of, condition_is_true, is_deleting, name_of, namespace_of
from sampan.api.podspec import is_terminal
from sampan.api.resources import NODES, PODS
from sampan.cli.errors import UserError
from sampan.client.client import Client

MIRROR = "kubernetes.io/config.mirror"
LOOK_AGAIN_S = 0.2


def moves(pod: Obj) -> bool:
    """Whether a Pod has to be moved: mirrors and Pods of DaemonSets belong to the node itself."""
    owners = pod["metadata"].get("ownerReferences") or ()
    bound = MIRROR in annotations_of(pod) or any(
        owner.get("controller") and owner["kind"] == "DaemonSet" for owner in owners
    )
    return not bound and (is_deleting(pod) or not is_terminal(pod))


def held(volumes: Sequence[Obj], node: Obj) -> list[str]:
    """The claims (NAMESPACE/NAME) whose data lies on this node and goes with it."""
    found = []
    for volume in volumes:
        claim = volume["spec"].get("claimRef")
        required = (volume["spec"].get("nodeAffinity") or {}).get("required")
        if claim and required and selects(required, node):
            found.append(f"{claim['namespace']}/{claim['name']}")
    return sorted(found)


async def drain(
    client: Client, node: Obj, timeout_s: float, show: Callable[[str], None], *, force: bool
) -> None:
    """Cordons the node and waits until its Pods have gone; raises UserError if they do not.

    Nobody waits for a node that is not Ready, nor with `force`: its Pods go with it.
    """
    name = name_of(node)
    await client.patch(NODES, name, {"spec": {"unschedulable": True}})
    waits = condition_is_true(node, "Ready") and not force
    try:
        async with asyncio.timeout(timeout_s):
            while pods := await _left(client, name):
                show(f"moving {len(pods)} Pod{'s' if len(pods) > 1 else ''} away")
                for pod in pods:
                    if not is_deleting(pod):
                        await _evict(client, pod)
                if not waits:
                    return
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        left = ", ".join(f"{namespace_of(pod)}/{name_of(pod)}" for pod in (await _left(client, name))[:5])
        raise UserError(
            f"node {name!r} still has Pods after {timeout_s:g} s: {left}",
            "A PodDisruptionBudget may hold them. --timeout gives them longer; --force does not wait.",
        ) from None


async def _left(client: Client, node: str) -> list[Obj]:
    listed = await client.list(PODS, field_selector=f"spec.nodeName={node}")
    return [pod for pod in listed["items"] if moves(pod)]


async def _evict(client: Client, pod: Obj) -> None:
    name, namespace = name_of(pod), namespace_of(pod)
    body: Obj = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    try:
        await client.create(PODS, body, namespace=namespace, subresource="eviction", name=name)
    except StatusError as error:
        if error.code not in (404, 409, 429):  # 429: its budget does not allow it yet
            raise
