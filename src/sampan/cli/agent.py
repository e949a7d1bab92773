"""A node in a process of its own, which knows the cluster by its API alone.

First time: it finds out whom to trust (`discovery`), asks for a certificate with a bootstrap token
(`credentials`), creates its Node, is given its part of the Pod range, and with that its number and addresses.
Every later time it has a certificate and a Node, and adopts what runs. What is not there yet is waited for:
an API that is away for a while ends nothing here.

The event loop is the host's; sockets that belong to the node are opened inside its network namespace.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import STRATEGIC_MERGE_PATCH
from sampan.api.resources import NODES, PODS
from sampan.apiserver.http import HttpServer
from sampan.apiserver.kubeletapi import KubeletApi
from sampan.cli import credentials, discovery, memory, nodeconfig
from sampan.cli.cluster import Cluster
from sampan.cli.credentials import Pair, Refused
from sampan.cli.errors import UserError
from sampan.cli.keymaking import KeyMakingFailed
from sampan.cli.nodeconfig import NodeConfig
from sampan.cli.nodeparts import KUBELET_PORT, NodeParts, NodeSettings, listening
from sampan.client.client import Client
from sampan.client.errors import Unreachable
from sampan.client.https import HttpsTransport
from sampan.client.informers import Informers
from sampan.kubelet.network import families
from sampan.kubelet.network.egress import EgressRelay
from sampan.kubelet.network.node import NodeNamespace, ensure_node
from sampan.kubelet.network.routes import NodeRoutes

log = logging.getLogger(__name__)

RETRY_S = 0.5
LONGEST_RETRY_S = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Joining:
    """How to find the cluster, and what to show it as long as there is no certificate."""

    server: str
    token: str = ""
    ca_hash: str = ""


class Agent:
    """The node `place.name`, living in `place.data`. `run` returns when SIGTERM or SIGINT came."""

    def __init__(self, place: Cluster, joining: Joining) -> None:
        self._place, self._joining = place, joining
        self._client_pair = Pair(place.pki / "client.pem")
        self._serving_pair = Pair(place.pki / "serving.pem")
        self._stopping = asyncio.Event()

    async def run(self, progress: Callable[[str], None], ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        working = loop.create_task(self._work(progress, ready))
        stopped = loop.create_task(self._stopping.wait())
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if working.done():
            working.result()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    async def _work(self, progress: Callable[[str], None], ready: Callable[[], None]) -> None:
        progress("joining the cluster")
        transport = await self._admitted()
        client = Client(transport)
        config = await patiently(lambda: nodeconfig.fetch(client))
        if config.machine_id != nodeconfig.machine_id():
            raise UserError(
                f"the cluster {config.cluster!r} is on another machine",
                "Nodes of one cluster share a machine so far: their network does not reach further.",
            )
        pod_cidrs = await patiently(lambda: self._registered(client))
        number = number_of(pod_cidrs)
        nodeconfig.remember(self._place, number, pod_cidrs, config)
        progress("making the node")
        node = await ensure_node(
            config.cluster,
            self._place.node_pin,
            Path(config.address_plan),
            families=families.parse(config.families) if config.families else (),
            number=number,
            lan=Path(config.lan),
            overlay=config.overlay,
            load_balancers=config.load_balancers,
        )
        relay = EgressRelay(node)
        await relay.start()
        try:
            await patiently(lambda: self._certified(client, node))
            progress("starting the node's parts")
            await self._run_parts(node, client, transport, config, ready)
        finally:
            await relay.stop()
            node.close()
            await client.close()

    # -- who we are

    async def _admitted(self) -> HttpsTransport:
        """The API, as this node. Raises UserError where waiting does not help."""
        ca = self._place.pki / "ca.crt"
        joining, name = self._joining, self._place.name
        if not ca.exists():
            self._place.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
            pem = await patiently(
                lambda: discovery.cluster_ca(joining.server, joining.token, joining.ca_hash)
            )
            ca.write_bytes(pem)
        if not await asyncio.to_thread(self._client_pair.good, time.time()):
            if not joining.token:
                raise UserError(
                    f"node {name!r} has no certificate that is good, and no token to ask for one",
                    "`sampan token create --print-join-command` makes one.",
                )
            guest = Client(HttpsTransport(joining.server, ca=ca, token=joining.token))
            try:
                await patiently(lambda: credentials.obtain(guest, self._client_pair, name))
            finally:
                await guest.close()
        transport = HttpsTransport(joining.server, ca=ca)
        transport.show(self._client_pair.path)
        return transport

    async def _registered(self, client: Client) -> list[str]:
        """The part of the Pod ranges that our Node has; what it had before, if somebody deleted the Node."""
        member = nodeconfig.membership(self._place)
        before = list(member.pod_cidrs) if member is not None else []
        spec: Obj = {"podCIDR": before[0], "podCIDRs": before} if before else {}
        try:
            node = await client.create(NODES, {"metadata": {"name": self._place.name}, "spec": spec})
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            node = await client.get(NODES, self._place.name)
        return [str(cidr) for cidr in (node.get("spec") or {}).get("podCIDRs") or ()]

    async def _certified(self, client: Client, node: NodeNamespace) -> None:
        """A serving certificate for the addresses the node has; the Node says them first."""
        addresses = [{"type": "InternalIP", "address": ip} for ip in node.plan.node_ips]
        names = self._names(node)
        held = self._place.pki / "serving.names"
        if self._serving_pair.good(time.time()) and held.exists() and held.read_text().split() == list(names):
            return
        addresses.append({"type": "Hostname", "address": self._place.name})
        told = {"status": {"addresses": addresses}}
        await client.patch(
            NODES, self._place.name, told, content_type=STRATEGIC_MERGE_PATCH, subresource="status"
        )
        await credentials.obtain(client, self._serving_pair, self._place.name, names)
        held.write_text("\n".join(names))

    def _names(self, node: NodeNamespace) -> tuple[str, ...]:
        return (self._place.name, *node.plan.node_ips)

    # -- what runs

    async def _run_parts(
        self,
        node: NodeNamespace,
        client: Client,
        transport: HttpsTransport,
        config: NodeConfig,
        ready: Callable[[], None],
    ) -> None:
        informers = Informers(client)
        settings = NodeSettings(
            name=self._place.name,
            data=self._place.data,
            cgroup=self._place.cgroup,
            images=Path(config.images),
            mirrors=config.mirrors,
            unsafe_sysctls=config.unsafe_sysctls,
            kubelet=config.kubelet,
            domain=config.domain,
        )
        parts = NodeParts(node, settings, client, informers, client)
        tls = self._serving_tls()
        server = await self._serve(node, parts, informers, tls)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(informers.run(), name="informers")
                group.create_task(NodeRoutes(node, informers, self._place.name).run(), name="routes")
                async for name, part in parts.parts():
                    group.create_task(part, name=name)
                for pair, names, renewed in (
                    (self._client_pair, (), lambda: transport.show(self._client_pair.path)),
                    (
                        self._serving_pair,
                        self._names(node),
                        lambda: tls.load_cert_chain(self._serving_pair.path),
                    ),
                ):
                    keeping = credentials.renew(lambda: client, pair, self._place.name, names, renewed)
                    group.create_task(keeping, name=f"certificate-{pair.path.stem}")
                await parts.kubelet.registered.wait()
                memory.settle()
                group.create_task(memory.tidy(), name="memory")
                ready()
                log.info("node %s is Ready", self._place.name)
        finally:
            await server.stop()

    async def _serve(
        self, node: NodeNamespace, parts: NodeParts, informers: Informers, tls: ssl.SSLContext
    ) -> HttpServer:
        pods = informers.informer(PODS, field_selector=f"spec.nodeName={self._place.name}")
        api = KubeletApi(
            parts.kubelet,
            self._place.name,
            lambda namespace, name: pods.get(f"{namespace}/{name}"),
            pods.list,
        )
        server = HttpServer(api)
        for ip in node.plan.node_ips:
            await server.listen(await listening(node, ip, KUBELET_PORT), tls)
        return server

    def _serving_tls(self) -> ssl.SSLContext:
        """Whoever comes must show a certificate of the cluster's CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._serving_pair.path)
        context.load_verify_locations(self._place.pki / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["http/1.1"])
        return context


def number_of(pod_cidrs: Sequence[str]) -> int:
    """Which node of the cluster has this part of the Pod range; raises UserError if it is no such part."""
    for cidr in pod_cidrs:
        network = ipaddress.ip_network(cidr)
        if network.version == 4 and network.prefixlen == 24:
            return network.network_address.packed[2]
        if network.version == 6 and network.prefixlen == 64:
            return network.network_address.packed[7]
    raise UserError(
        f"the cluster has given the node no Pod addresses ({', '.join(pod_cidrs) or 'none'})",
        "A cluster has room for 200 nodes; `kubectl delete node` those that are gone.",
    )


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asked for again and again while nobody answers; a refusal is an end."""
    delay_s = RETRY_S
    while True:
        try:
            return await ask()
        except (discovery.Untrusted, Refused, KeyMakingFailed, nodeconfig.NoConfig) as error:
            raise UserError(f"the node cannot join: {error}") from error
        except StatusError as error:
            if error.code in (401, 403):
                raise UserError(
                    f"the cluster does not let the node in: {error.message}",
                    "A token may have expired: `sampan token create` makes another.",
                ) from error
            problem = error.message
        except (Unreachable, OSError) as error:
            problem = str(error)
        log.info("waiting for the cluster: %s", problem)
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, LONGEST_RETRY_S)
