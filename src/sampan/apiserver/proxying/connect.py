"""From a `proxy` subresource to whoever answers: a Pod, a Service's Pod, or the node itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import ENDPOINT_SLICES, NODES, PODS, Resource
from sampan.api.streams import NodeStreams
from sampan.apiserver.dispatch import Dispatcher
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.proxying import nodes, proxy, target
from sampan.apiserver.proxying.kubelets import Kubelets
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.route import Proxied
from sampan.apiserver.storage import scope_prefix

_VERBS: Mapping[str, str] = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "OPTIONS": "",
}
"""What has to be allowed for a method; OPTIONS takes a rule for every verb."""
_SERVICE_NAME = "kubernetes.io/service-name"


class ProxyConnect:
    """`streams(node_name)`: a node in this process; others are asked through `kubelets`."""

    def __init__(
        self, dispatcher: Dispatcher, streams: Callable[[str], NodeStreams | None], kubelets: Kubelets
    ) -> None:
        self._dispatcher, self._streams, self._kubelets = dispatcher, streams, kubelets

    async def answer(self, exchange: Exchange, user: UserInfo, found: Proxied) -> None:
        resource, namespace, text, _ = found.route
        if exchange.method not in _VERBS:
            raise errors.method_not_allowed()
        wanted = target.asked(resource.plural, text)
        request = Request(_VERBS[exchange.method], resource, namespace, wanted.name, "proxy")
        self._dispatcher.authorize(user, request)
        obj = self._dispatcher.pipeline.get(Call(user, request, self._dispatcher.pipeline.hub)).obj
        if resource is NODES and nodes.is_kubelet(obj, wanted.port):
            streams = self._streams(wanted.name)
            if streams is None and self._kubelets.known(wanted.name):
                await self._kubelets.page(exchange, wanted.name, found)
                return
            await nodes.serve(exchange, streams, obj, found.rest, self._pod, lambda: self._all(PODS, ""))
            return
        if resource is NODES:
            server = nodes.other_server(obj, wanted)
        elif resource is PODS:
            server = target.of_pod(obj, wanted)
        else:
            server = self._of_service(obj, namespace, wanted)
        await proxy.serve(exchange, server, found.prefix, found.rest)

    def _of_service(self, service: Obj, namespace: str, wanted: target.Asked) -> target.Target:
        name = service["metadata"]["name"]
        slices = [
            obj
            for obj in self._all(ENDPOINT_SLICES, namespace)
            if (obj["metadata"].get("labels") or {}).get(_SERVICE_NAME) == name
        ]
        named = {
            (endpoint.get("targetRef") or {}).get("name", "")
            for part in slices
            for endpoint in part.get("endpoints") or ()
        }
        pods = {name: pod for name in named if (pod := self._pod(namespace, name)) is not None}
        return target.of_service(service, slices, pods, wanted)

    def _pod(self, namespace: str, name: str) -> Obj | None:
        entry = self._dispatcher.pipeline.find(PODS, namespace, name)
        return entry.obj if entry is not None else None

    def _all(self, resource: Resource, namespace: str) -> list[Obj]:
        cache = self._dispatcher.pipeline.cache(resource)
        return [entry.obj for entry in cache.scan(scope_prefix(resource, namespace))]
