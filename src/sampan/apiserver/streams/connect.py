"""Finds the node behind a Pod's streaming subresource and speaks the protocol that the client asks for."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import PODS
from sampan.api.streams import NodeStreams
from sampan.apiserver.dispatch import Dispatcher
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.proxying.kubelets import Kubelets
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.route import Route, verb_of
from sampan.apiserver.streams import logs, portforward, terminal
from sampan.apiserver.streams.options import container_of, exec_options

Streams = Callable[[str], "NodeStreams | None"]


class Connect:
    """`streams(node_name)` answers the streaming side of a node in this process, None for others: those are
    asked at their own port, through `kubelets`.
    """

    subresources = frozenset(["log", "exec", "attach", "portforward"])

    def __init__(self, dispatcher: Dispatcher, streams: Streams, kubelets: Kubelets) -> None:
        self._dispatcher = dispatcher
        self._streams, self._kubelets = streams, kubelets

    async def answer(self, exchange: Exchange, user: UserInfo, found: Route) -> None:
        verb = verb_of(exchange.method, found, False)
        params = dict(exchange.query)
        request = Request(verb, found.resource, found.namespace, found.name, found.subresource, params)
        self._dispatcher.authorize(user, request)
        if found.resource is not PODS:
            raise errors.no_such_path()
        pod = self._dispatcher.pipeline.get(Call(user, request, self._dispatcher.pipeline.hub)).obj
        if found.subresource == "log":
            options = logs.log_options(params, pod)
            chosen = container_of(pod, options.container)
            if (node := self._node(pod)) is None:
                await self._kubelets.logs(exchange, pod, chosen)
            else:
                await logs.stream(exchange, node, pod, logs.in_container(options, chosen))
        elif found.subresource == "portforward":
            if (node := self._node(pod)) is None:
                await self._kubelets.port_forward(exchange, pod)
            else:
                await portforward.serve(exchange, node, pod)
        else:
            wanted = exec_options(exchange, pod, found.subresource)
            if (node := self._node(pod)) is None:
                await self._kubelets.run(exchange, found.subresource, pod, wanted.container)
            else:
                await terminal.serve(exchange, node, pod, wanted)

    def _node(self, pod: Obj) -> NodeStreams | None:
        """The node in this process that runs the Pod; None if another process is that node."""
        name = pod["metadata"]["name"]
        node_name = pod["spec"].get("nodeName")
        if not node_name:
            raise errors.bad_request(f"pod {name} does not have a host assigned")
        node = self._streams(node_name)
        if node is None and not self._kubelets.known(node_name):
            raise errors.unavailable(f"node {node_name}, which runs pod {name}, cannot be reached")
        return node
