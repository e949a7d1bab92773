"""What a node with a process of its own serves at port 10250: the kubelet's API, for the API server alone.

The API server has asked who the user is and whether he may; here only the certificate counts that it shows.
Streams speak the same protocols as the API server's own, so that it can hand through what a client sends byte
for byte. Paths are upstream's: /containerLogs, /exec, /attach, /portForward, /pods, and the node's own pages.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from urllib.parse import unquote

import orjson

from sampan.api import errors
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.streams import NodeStreams
from sampan.apiserver.authz import KUBELET_CALLER
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.peer import from_certificate
from sampan.apiserver.proxying import nodes
from sampan.apiserver.streams import options, portforward, terminal

USAGE_PATH = "/sampan/usage"

FindPod = Callable[[str, str], "Obj | None"]

log = logging.getLogger(__name__)


class KubeletApi:
    """Keeps http.Handler. `find_pod(namespace, name)` and `all_pods()` know this node's Pods."""

    def __init__(
        self, node: NodeStreams, name: str, find_pod: FindPod, all_pods: Callable[[], Iterable[Obj]]
    ) -> None:
        self._node, self._object = node, {"metadata": {"name": name}}
        self._find_pod, self._all_pods = find_pod, all_pods

    def takes_body(self, exchange: Exchange) -> bool:
        """Nothing is sent here but by streams."""
        return False

    def knows(self, exchange: Exchange) -> bool:
        """No body is read here."""
        return False

    def answer_now(self, exchange: Exchange) -> bool:
        return False

    async def answer(self, exchange: Exchange) -> None:
        try:
            await self._answer(exchange)
        except StatusError as error:
            if exchange.started:
                raise ConnectionResetError(error.message) from error
            exchange.respond(error.code, orjson.dumps(error.status), headers=error.headers.items())

    async def _answer(self, exchange: Exchange) -> None:
        if from_certificate(exchange.connection).name != KUBELET_CALLER:
            raise errors.unauthorized()
        verb, *words = [unquote(word) for word in exchange.raw_path.strip("/").split("/")]
        if verb in ("exec", "attach") and len(words) == 3:
            pod = self._pod(*words[:2])
            wanted = options.exec_options(exchange, pod, verb, words[2])
            await terminal.serve(exchange, self._node, pod, wanted)
        elif verb == "portForward" and len(words) == 2:
            await portforward.serve(exchange, self._node, self._pod(*words))
        elif exchange.raw_path == USAGE_PATH:
            exchange.respond(200, orjson.dumps(dataclasses.asdict(await self._node.usage())))
        else:
            path = exchange.raw_path
            await nodes.serve(exchange, self._node, self._object, path, self._find_pod, self._all_pods)

    def _pod(self, namespace: str, name: str) -> Obj:
        pod = self._find_pod(namespace, name)
        if pod is None:
            raise errors.status_error(404, "NotFound", f'pod "{name}" does not exist')
        return pod
