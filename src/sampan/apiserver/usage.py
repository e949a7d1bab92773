"""metrics.k8s.io/v1beta1: what nodes and Pods use now, behind `kubectl top` and autoscalers.

Nothing of it is stored: each answer is made of what the nodes say when it is asked for. A Pod without running
containers has no metrics, nor has a node that cannot be reached.
Source: tasks/debug/debug-cluster/resource-metrics-pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from sampan.api import clock, errors
from sampan.api.objects import Obj, name_of
from sampan.api.request import Request
from sampan.api.resources import NODE_METRICS, NODES, POD_METRICS, PODS, Resource
from sampan.api.streams import NodeStreams, NodeUsage, PodUsage
from sampan.apiserver.filters import parse
from sampan.apiserver.lister import list_page
from sampan.apiserver.pipeline import Pipeline
from sampan.apiserver.proxying.kubelets import Kubelets
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.storage import scope_prefix

GROUP = NODE_METRICS.group
_SELECTORS = ("labelSelector", "fieldSelector")
_OBJECTS: Mapping[Resource, Resource] = {NODE_METRICS: NODES, POD_METRICS: PODS}
"""Whose metrics they are; selectors speak of these."""


class UsageMetrics:
    """`streams(node_name)`: a node in this process; others are asked through `kubelets`."""

    def __init__(
        self, pipeline: Pipeline, streams: Callable[[str], NodeStreams | None], kubelets: Kubelets
    ) -> None:
        self._pipeline, self._streams, self._kubelets = pipeline, streams, kubelets

    async def answer(self, call: Call) -> Obj:
        """A NodeMetrics, a PodMetrics or a list of them; raises StatusError."""
        request = call.request
        if request.verb not in request.resource.verbs:
            raise errors.method_not_allowed()
        found = await self._found(request)
        show = self._nodes if request.resource is NODE_METRICS else self._pods
        items = await show(found)
        if request.name:
            if not items:
                raise errors.not_found(request.resource, request.name)
            return items[0]
        return {
            "kind": request.resource.list_kind,
            "apiVersion": request.resource.api_version,
            "metadata": {},
            "items": items,
        }

    async def _found(self, request: Request) -> list[Obj]:
        """The nodes or Pods that are asked about."""
        resource = _OBJECTS[request.resource]
        params = {name: request.params[name] for name in _SELECTORS if name in request.params}
        if request.name:
            entry = self._pipeline.find(resource, request.namespace, request.name)
            return [entry.obj] if entry is not None else []
        wanted = parse(resource, scope_prefix(resource, request.namespace), params)
        page = await list_page(self._pipeline.hub, self._pipeline.cache(resource), wanted, params)
        return [entry.obj for entry in page.entries]

    async def _nodes(self, nodes: list[Obj]) -> list[Obj]:
        usages = await self._usages({name_of(node) for node in nodes})
        return [_node(node, usages[name_of(node)]) for node in nodes if name_of(node) in usages]

    async def _pods(self, pods: list[Obj]) -> list[Obj]:
        usages = await self._usages({pod["spec"].get("nodeName", "") for pod in pods})
        by_name = {(pod.namespace, pod.name): pod for usage in usages.values() for pod in usage.pods}
        found = ((pod, by_name.get((pod["metadata"]["namespace"], name_of(pod)))) for pod in pods)
        return [_pod(pod, usage) for pod, usage in found if usage is not None]

    async def _usages(self, names: set[str]) -> dict[str, NodeUsage]:
        listed = sorted(names)
        answers = await asyncio.gather(*(self._usage(name) for name in listed))
        return {name: usage for name, usage in zip(listed, answers, strict=True) if usage is not None}

    async def _usage(self, name: str) -> NodeUsage | None:
        if (node := self._streams(name)) is not None:
            return await node.usage()
        return await self._kubelets.usage(name) if self._kubelets.known(name) else None


def _node(node: Obj, usage: NodeUsage) -> Obj:
    entry = _entry(NODE_METRICS, node, usage.at_s, usage.window_s)
    return {**entry, "usage": _amounts(usage.cpu_nanocores, usage.memory_bytes)}


def _pod(pod: Obj, usage: PodUsage) -> Obj:
    entry = _entry(POD_METRICS, pod, usage.at_s, usage.window_s)
    containers = [
        {"name": container.name, "usage": _amounts(container.cpu_nanocores, container.memory_bytes)}
        for container in usage.containers
    ]
    return {**entry, "containers": containers}


def _entry(resource: Resource, obj: Obj, at_s: float, window_s: float) -> Obj:
    metadata: Obj = {"name": name_of(obj), "creationTimestamp": clock.now()}
    if namespace := obj["metadata"].get("namespace"):
        metadata["namespace"] = namespace
    if labels := obj["metadata"].get("labels"):
        metadata["labels"] = labels
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "timestamp": clock.format_time(at_s),
        "window": f"{window_s:.3f}s",
    }


def _amounts(cpu_nanocores: int, memory_bytes: int) -> dict[str, str]:
    return {"cpu": f"{cpu_nanocores}n", "memory": f"{memory_bytes // 1024}Ki"}
