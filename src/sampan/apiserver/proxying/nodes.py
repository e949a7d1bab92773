"""`nodes/NAME/proxy`: what a kubelet's own HTTP server has, without that server.

`/containerLogs/NAMESPACE/POD/CONTAINER` and `/pods` are answered from here; all other paths are the
node's own pages (numbers, its directory of logs). Any other port than
the kubelet's is that of another server on the node's address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import unquote

import orjson

from sampan.api import errors, podspec
from sampan.api.objects import Obj
from sampan.api.streams import NodeStreams
from sampan.apiserver.exchange import Exchange
from sampan.apiserver.proxying.target import Asked, Target, is_proxyable
from sampan.apiserver.streams import logs

KUBELET_PORT = 10250

FindPod = Callable[[str, str], "Obj | None"]


def is_kubelet(node: Obj, port: str) -> bool:
    """Whether the port asked for is that of the kubelet's own server, or none is."""
    endpoints = (node.get("status") or {}).get("daemonEndpoints") or {}
    own = (endpoints.get("kubeletEndpoint") or {}).get("Port", KUBELET_PORT)
    return port in ("", str(own))


def other_server(node: Obj, wanted: Asked) -> Target:
    """Raises 400 for addresses that lead back to the API server's own machine."""
    listed = (node.get("status") or {}).get("addresses") or ()
    address = next((entry["address"] for entry in listed if entry["type"] == "InternalIP"), "")
    if not is_proxyable(address) or not wanted.port.isdigit() or not 0 < int(wanted.port) < 65536:
        raise errors.bad_request("address not allowed")
    return Target(wanted.scheme, address, int(wanted.port))


async def serve(
    exchange: Exchange,
    streams: NodeStreams | None,
    node: Obj,
    rest: str,
    find_pod: FindPod,
    all_pods: Callable[[], Iterable[Obj]],
) -> None:
    """Raises StatusError as long as nothing has been answered."""
    name = node["metadata"]["name"]
    if streams is None:
        raise errors.unavailable(f"error trying to reach service: node {name} cannot be reached")
    if exchange.method not in ("GET", "HEAD"):
        raise errors.method_not_allowed()
    path = unquote(rest) or "/"
    first, *words = path.strip("/").split("/")
    if first == "containerLogs":
        await _container_logs(exchange, streams, words, find_pod)
    elif first in ("pods", "runningpods") and not words:
        mine = [pod for pod in all_pods() if pod["spec"].get("nodeName") == name]
        listed = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": mine}
        exchange.respond(200, orjson.dumps(listed))
    elif (page := await streams.page(path)) is None:
        query = f"?{exchange.raw_query}" if exchange.raw_query else ""
        numbers = await streams.numbers(path + query)
        exchange.respond(numbers.status, numbers.body, numbers.content_type)
    elif page.moved:
        exchange.respond(301, b"", page.content_type, [("Location", page.moved)])
    else:
        exchange.respond(200, page.body, page.content_type)


async def _container_logs(
    exchange: Exchange, streams: NodeStreams, words: list[str], find_pod: FindPod
) -> None:
    if len(words) != 3:
        raise errors.bad_request("containerLogs wants /NAMESPACE/POD/CONTAINER")
    namespace, pod_name, container = words
    pod = find_pod(namespace, pod_name)
    if pod is None:
        raise errors.status_error(404, "NotFound", f'pod "{pod_name}" does not exist')
    if container not in (item["name"] for _, _, item in podspec.all_containers(pod["spec"])):
        text = f'container "{container}" not found in pod "{pod_name}"'
        raise errors.status_error(404, "NotFound", text)
    options = logs.log_options(dict(exchange.query), pod)
    await logs.stream(exchange, streams, pod, logs.in_container(options, container))
