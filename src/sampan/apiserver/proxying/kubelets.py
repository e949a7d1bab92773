"""Nodes that are other processes, maybe other machines: the API server asks them at their port 10250.

What a client streams is handed through as it is, once the API server has seen that he may; the node speaks
the client's protocol itself. Both sides know each other by certificates of the cluster's CA.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from functools import cached_property
from urllib.parse import quote

import orjson

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.resources import NODES, Resource
from sampan.api.streams import ContainerUsage, NodeUsage, PodUsage
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.kubeletapi import USAGE_PATH
from sampan.apiserver.pki import Pki
from sampan.apiserver.proxying import proxy
from sampan.apiserver.proxying.backend import Backend, Unreachable, head, host_of
from sampan.apiserver.proxying.nodes import KUBELET_PORT
from sampan.apiserver.proxying.target import Target, is_proxyable
from sampan.apiserver.route import Proxied

USAGE_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class Kubelets:
    """`lookup(resource, namespace, name)` answers live objects."""

    def __init__(self, pki: Pki, lookup: Callable[[Resource, str, str], Obj | None]) -> None:
        self._pki, self._lookup = pki, lookup

    def known(self, node_name: str) -> bool:
        """Whether the node has told where it is."""
        return self._target(node_name) is not None

    async def logs(self, exchange: Exchange, pod: Obj, container: str) -> None:
        """Raises StatusError as long as nothing has been answered; so do the others."""
        await self._stream(exchange, pod, _path("containerLogs", *_names(pod), container))

    async def run(self, exchange: Exchange, verb: str, pod: Obj, container: str) -> None:
        """`verb`: exec or attach."""
        await self._stream(exchange, pod, _path(verb, *_names(pod), container))

    async def port_forward(self, exchange: Exchange, pod: Obj) -> None:
        await self._stream(exchange, pod, _path("portForward", *_names(pod)))

    async def page(self, exchange: Exchange, node_name: str, found: Proxied) -> None:
        """A page of the node's own."""
        if exchange.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed()
        target = self._found(node_name)
        try:
            await proxy.relay(exchange, target, found.prefix, found.rest, self._tls)
        except Unreachable as error:
            raise errors.unavailable(f"error trying to reach service: {error}") from error

    async def usage(self, node_name: str) -> NodeUsage | None:
        """None if the node does not tell."""
        target = self._found(node_name)
        request = head("GET", USAGE_PATH, [("Host", host_of(target)), ("Connection", "close")])
        pieces = []
        try:
            async with asyncio.timeout(USAGE_TIMEOUT_S), await Backend.dial(target, self._tls) as backend:
                await backend.send(request)
                reply = await backend.answered(bodiless=False)
                while piece := await backend.body():
                    pieces.append(piece)
            if reply.code != 200:
                return None
            return _usage(orjson.loads(b"".join(pieces)))
        except (Unreachable, OSError, TimeoutError, orjson.JSONDecodeError) as error:
            log.info("node %s does not tell what it uses: %s", node_name, error)
            return None

    async def _stream(self, exchange: Exchange, pod: Obj, path: str) -> None:
        target = self._found(pod["spec"]["nodeName"])
        try:
            await proxy.relay(exchange, target, "", path, self._tls)
        except Unreachable as error:
            if path.startswith("/containerLogs/"):
                url = f"https://{host_of(target)}{path}"
                raise errors.status_error(500, "", f'Get "{url}": {error}') from error
            raise errors.status_error(500, "", f"error dialing backend: {error}") from error

    def _found(self, node_name: str) -> Target:
        target = self._target(node_name)
        if target is None:
            raise errors.unavailable(f"node {node_name} cannot be reached")
        return target

    def _target(self, node_name: str) -> Target | None:
        status = (self._lookup(NODES, "", node_name) or {}).get("status") or {}
        listed: Iterable[Obj] = status.get("addresses") or ()
        address = next((each["address"] for each in listed if each["type"] == "InternalIP"), "")
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        if not is_proxyable(address) or not endpoint:
            return None
        return Target("https", address, int(endpoint.get("Port", KUBELET_PORT)))

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._pki.kubelet_context()


def _path(*words: str) -> str:
    return "/" + "/".join(quote(word, safe="") for word in words)


def _names(pod: Obj) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _usage(told: Obj) -> NodeUsage:
    pods = [
        PodUsage(**{**pod, "containers": [ContainerUsage(**each) for each in pod["containers"]]})
        for pod in told["pods"]
    ]
    return NodeUsage(**{**told, "pods": pods})
