"""Finds the node behind a Pod's streaming subresource and speaks the protocol that the client asks for."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import errors, podspec
from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import PODS
from sampan.api.streams import ExecOptions, NodeStreams
from sampan.apiserver.dispatch import Dispatcher
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.params import true
from sampan.apiserver.registry.hooks import Call
from sampan.apiserver.route import Route, verb_of
from sampan.apiserver.streams import logs, portforward, terminal

Streams = Callable[[str], "NodeStreams | None"]


class Connect:
    """`streams(node_name)` answers a node's streaming side, None while it is not there."""

    subresources = frozenset(["log", "exec", "attach", "portforward"])

    def __init__(self, dispatcher: Dispatcher, streams: Streams) -> None:
        self._dispatcher = dispatcher
        self._streams = streams

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
            chosen = _container(pod, options.container, "a container name must be specified for pod {}")
            node = self._node(pod, chosen)
            await logs.stream(exchange, node, pod, logs.in_container(options, chosen))
        elif found.subresource == "portforward":
            await portforward.serve(exchange, self._node(pod, ""), pod)
        else:
            exec_options = self._exec_options(exchange, pod, found.subresource)
            await terminal.serve(exchange, self._node(pod, exec_options.container), pod, exec_options)

    def _exec_options(self, exchange: Exchange, pod: Obj, subresource: str) -> ExecOptions:
        query = exchange.query
        flags = {name: true(value) for name, value in query}
        command = tuple(value for name, value in query if name == "command")
        if subresource == "exec" and not command:
            raise errors.bad_request("you must specify at least 1 command for the container")
        if not any(flags.get(name) for name in ("stdin", "stdout", "stderr")):
            raise errors.bad_request("you must specify at least 1 of stdin, stdout, stderr")
        if podspec.is_terminal(pod):
            phase = pod["status"]["phase"]
            raise errors.bad_request(
                f"cannot exec into a container in a completed pod; current phase is {phase}"
            )
        asked = next((value for name, value in query if name == "container"), "")
        tty = flags.get("tty", False)
        return ExecOptions(
            container=_container(pod, asked, "a container name must be specified for pod {}"),
            command=command if subresource == "exec" else (),
            stdin=flags.get("stdin", False),
            stdout=flags.get("stdout", False),
            stderr=flags.get("stderr", False) and not tty,
            tty=tty,
        )

    def _node(self, pod: Obj, container: str) -> NodeStreams:
        name = pod["metadata"]["name"]
        node_name = pod["spec"].get("nodeName")
        if not node_name:
            raise errors.bad_request(f"pod {name} does not have a host assigned")
        node = self._streams(node_name)
        if node is None:
            raise errors.unavailable(f"node {node_name}, which runs pod {name}, cannot be reached")
        return node


def _container(pod: Obj, asked: str, missing: str) -> str:
    """The container asked for, or the one that is meant without asking; raises 400."""
    name = pod["metadata"]["name"]
    main = [container["name"] for container in pod["spec"].get("containers") or ()]
    every = [container["name"] for _, _, container in podspec.all_containers(pod["spec"])]
    if asked:
        if asked not in every:
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) == 1:
        return str(main[0])
    annotations = pod["metadata"].get("annotations") or {}
    default = annotations.get("kubectl.kubernetes.io/default-container")
    if default in main:
        return str(default)
    text = f"{missing.format(name)}, choose one of: [{' '.join(main)}]"
    init = [item["name"] for item in pod["spec"].get("initContainers") or ()]
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    ephemeral = [item["name"] for item in pod["spec"].get("ephemeralContainers") or ()]
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise errors.bad_request(text)
