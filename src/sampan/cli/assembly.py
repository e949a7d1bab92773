"""One cluster in one process: every part made, joined to the others, and run until told to stop.

This and `nodeparts` are the only places that know all parts. They meet through the API alone; what is handed
from part to part directly is stated here: the node's streams (the API server asks the kubelet for logs and
exec).

The event loop is the host's; sockets that belong to the node are opened inside its network namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from sampan.api.podsecurity import configuration
from sampan.api.request import UserInfo
from sampan.api.resources import NODES
from sampan.api.streams import NodeStreams
from sampan.apiserver.pki import Maker
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.cli import discovery, fleet, memory, nodeconfig, pools
from sampan.cli.cluster import Choices, Cluster, kept_plans
from sampan.cli.errors import UserError
from sampan.cli.fleet import Fleet
from sampan.cli.nodedns import DNS_PORT
from sampan.cli.nodeparts import KUBELET_PORT, NodeParts, NodeSettings, listening
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.bootstrapsigner.controller import BootstrapSigner
from sampan.controllers.certificates.controller import CertificatesController
from sampan.controllers.deployment.controller import DeploymentController
from sampan.controllers.disruption.controller import DisruptionController
from sampan.controllers.endpoints.controller import EndpointsController
from sampan.controllers.endpointslice.controller import EndpointSliceController
from sampan.controllers.endpointslicemirroring.controller import EndpointSliceMirroringController
from sampan.controllers.ephemeralvolume.controller import EphemeralVolumeController
from sampan.controllers.garbagecollector.controller import GarbageCollector
from sampan.controllers.loadbalancer.controller import LoadBalancerController
from sampan.controllers.namespace.controller import NamespaceController
from sampan.controllers.nodelifecycle.controller import NodeLifecycleController
from sampan.controllers.persistentvolume.controller import PersistentVolumeController
from sampan.controllers.podgc.controller import PodGarbageCollector
from sampan.controllers.pvcprotection.controller import ClaimProtectionController
from sampan.controllers.pvprotection.controller import VolumeProtectionController
from sampan.controllers.replicaset.controller import ReplicaSetController, ReplicationControllerController
from sampan.controllers.resourcequota.controller import ResourceQuotaController
from sampan.controllers.serviceaccount.controller import ServiceAccountController
from sampan.controllers.tokencleaner.controller import TokenCleaner
from sampan.controllers.volumeexpansion.controller import VolumeExpansionController
from sampan.dns.announce import METRICS_PORT, Announcer
from sampan.kubelet.network import families, overlay
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.egress import EgressRelay
from sampan.kubelet.network.hostroutes import HostRoutes
from sampan.kubelet.network.localports import LocalPorts
from sampan.kubelet.network.node import NodeNamespace, ensure_node
from sampan.kubelet.network.plan import node_plan
from sampan.kubelet.network.routes import NodeRoutes
from sampan.kubelet.network.uplinkwatch import UplinkWatch
from sampan.scheduler.scheduler import Scheduler
from sampan.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

NODE_API_PORT = 6443
"""Where Pods find the API server, on the node's own address."""
READY_TIMEOUT_S = 60.0


class Controller(Protocol):
    async def run(self) -> None: ...


CONTROLLERS: Mapping[str, Callable[[Client, Informers, EventRecorder], Controller]] = {
    "deployment-controller": DeploymentController,
    "replicaset-controller": ReplicaSetController,
    "replication-controller": ReplicationControllerController,
    "endpoint-slice-controller": EndpointSliceController,
    "endpoint-controller": EndpointsController,
    "endpoint-slice-mirroring-controller": EndpointSliceMirroringController,
    "namespace-controller": NamespaceController,
    "garbage-collector-controller": GarbageCollector,
    "pod-garbage-collector-controller": PodGarbageCollector,
    "persistentvolume-controller": PersistentVolumeController,
    "pvc-protection-controller": ClaimProtectionController,
    "pv-protection-controller": VolumeProtectionController,
    "volume_expand": VolumeExpansionController,
    "ephemeral_volume": EphemeralVolumeController,
    "resourcequota-controller": ResourceQuotaController,
    "controllermanager": DisruptionController,
    "token-cleaner": TokenCleaner,
}
"""By the names with which upstream's controllers sign their events."""


def user(name: str, *groups: str) -> UserInfo:
    return UserInfo(name, (*groups, "system:authenticated"))


class Assembly:
    """The parts of one cluster. `run` returns when SIGTERM or SIGINT came, or raises what a part died of.

    `listener` is the API's socket, bound to loopback; it is closed with the server. `pki_maker` has begun to
    make the certificates, if some are missing.
    """

    def __init__(
        self, cluster: Cluster, choices: Choices, listener: socket.socket, pki_maker: Maker | None = None
    ) -> None:
        self._cluster, self._choices, self._listener = cluster, choices, listener
        self._pki_maker = pki_maker
        self._store = SqliteStore(cluster.store)
        self._stopping = asyncio.Event()
        self._registered = asyncio.Event()
        self._streams: dict[str, NodeStreams] = {}

    async def run(self, progress: Callable[[str], None], ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        progress("making the node")
        asked = self._choices.ip_families
        node = await ensure_node(
            self._cluster.name,
            self._cluster.node_pin,
            self._cluster.address_plan,
            kept=kept_plans(self._cluster),
            families=families.parse(asked) if asked else (),
            lan=self._lan(),
            overlay=self._choices.overlay,
            load_balancers=pools.networks(self._choices.load_balancers),
        )
        try:
            async with self._egress(node), self._server(node) as server:
                progress("starting the node's parts")
                await self._run_parts(node, server, progress, ready)
        finally:
            node.close()

    def _lan(self) -> Path | None:
        """What nodes are plugged into, once there has been more than one."""
        several = self._cluster.node_places or self._cluster.lan.exists()
        return self._cluster.lan if several else None

    @contextlib.asynccontextmanager
    async def _egress(self, node: NodeNamespace) -> AsyncIterator[None]:
        relay = EgressRelay(node)
        await relay.start()
        try:
            yield
        finally:
            await relay.stop()

    @contextlib.asynccontextmanager
    async def _server(self, node: NodeNamespace) -> AsyncIterator[ApiServer]:
        family = node.plan.families[0]
        chosen = self._choices.pod_security
        config = ServerConfig(
            pki_dir=self._cluster.pki,
            pki_maker=self._pki_maker,
            port=self._choices.api_port,
            listener=self._listener,
            names=node.plan.node_ips,
            sockets=[await listening(node, ip, NODE_API_PORT) for ip in node.plan.node_ips],
            node_sockets={self._choices.node_name: await listening(node, str(family.node.ip), KUBELET_PORT)},
            service_cidrs=node.plan.service_cidrs,
            cluster_cidrs=tuple(str(each.cluster_cidr) for each in node.plan.families),
            node_port_range=(self._choices.node_ports[0], self._choices.node_ports[1]),
            reserved_ports=frozenset([DNS_PORT, METRICS_PORT, NODE_API_PORT, KUBELET_PORT, overlay.UDP_PORT]),
            external_ips=self._choices.external_ips,
            advertise_host=str(family.node.ip),
            advertise_port=NODE_API_PORT,
            cluster_domain=self._choices.domain,
            pod_security=configuration.parse(chosen) if chosen else configuration.PodSecurityConfig(),
        )
        server = ApiServer(config, self._store, self._streams.get)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    async def _run_parts(
        self,
        node: NodeNamespace,
        server: ApiServer,
        progress: Callable[[str], None],
        ready: Callable[[], None],
    ) -> None:
        parts = self._parts(node, server)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part, name=name) async for name, part in parts]
            # Not what the API says of the node: after a crash that is what the process before had said.
            await self._node_ready()
            await self._nodes_ready(progress)
            memory.settle()
            tasks.append(group.create_task(memory.tidy(), name="memory"))
            ready()
            await self._stopping.wait()
            log.info("stopping; Pods run on")
            for task in tasks:
                task.cancel()
        await self._fleet.end()

    async def _node_ready(self) -> None:
        """The first node. Raises UserError if it does not come up in time."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._registered.wait()
        except TimeoutError:
            if trouble := self._store.trouble:
                raise UserError(f"the store takes no writes: {trouble}", "Free space on its disk.") from None
            raise UserError(f"its node was not Ready in {READY_TIMEOUT_S:g} s") from None

    async def _nodes_ready(self, tell: Callable[[str], None]) -> None:
        """Further nodes that do not come up in time do not take the cluster with them."""
        places = self._cluster.node_places
        if not places:
            return
        tell(f"waiting for {len(places)} more node{'s' if len(places) > 1 else ''}")
        loop = asyncio.get_running_loop()
        names = [place.name for place in places]
        joined = loop.create_task(fleet.all_ready(self._manager, names, self._fleet.started))
        stopped = loop.create_task(self._stopping.wait())
        try:
            limit_s = fleet.JOIN_TIMEOUT_S
            await asyncio.wait((joined, stopped), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if joined.done():
                joined.result()
                await fleet.forget_tokens(self._manager, places)
            elif not stopped.done():
                where = self._cluster.data / "nodes"
                tell(f"not all nodes are Ready after {limit_s:g} s; their logs are below {where}")
        finally:
            joined.cancel()
            stopped.cancel()

    async def _mend(self, node: NodeNamespace) -> None:
        """The host's way to the node as it is to be by now, and to further nodes' Pods."""
        from sampan.cli.agent import number_of

        whole = replace(node.plan, lan=self._lan())
        await NodeNamespace(whole, node.traveller).ensure()
        versions = [row.version for row in whole.families]
        for each in (await self._manager.list(NODES))["items"]:
            try:
                number = number_of((each.get("spec") or {}).get("podCIDRs") or ())
            except UserError:
                continue  # a Node that somebody wrote, and no node of ours
            if number:
                plan = node_plan(whole.index, whole.name, whole.pin, families=versions, number=number)
                await NodeNamespace(plan, node.traveller).reach_from_host()

    async def _grow(self, asked: asyncio.Event, nodes: Fleet, node: NodeNamespace) -> None:
        """There may be more nodes than before; the first of them needs a network to share."""
        while True:
            try:
                if node.plan.lan is None and self._cluster.node_places:
                    wider = NodeNamespace(replace(node.plan, lan=self._cluster.lan))
                    try:
                        await wider.ensure()
                    finally:
                        wider.close()
                nodes.look()
                await self._nodes_ready(log.info)
            except (NetworkFault, OSError, TimeoutError) as error:
                log.error("no room for more nodes: %s", error)
            await asked.wait()
            asked.clear()

    async def _parts(
        self, node: NodeNamespace, server: ApiServer
    ) -> AsyncIterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Every part as a named coroutine, in the order in which they should begin."""
        name = self._choices.node_name
        manager = Client(server.transport(user("system:kube-controller-manager", "system:masters")))
        self._manager = manager
        informers = Informers(manager)
        yield "informers", informers.run()
        await nodeconfig.publish(manager, nodeconfig.of(self._cluster, self._choices))

        yield "dns-announcer", Announcer(manager, informers, node.plan.dns_ips, self._choices.domain).run()
        settings = NodeSettings(
            name=name,
            data=self._cluster.data,
            cgroup=self._cluster.cgroup,
            images=self._choices.images,
            mirrors=self._choices.mirrors,
            unsafe_sysctls=self._choices.unsafe_sysctls,
            kubelet=self._choices.kubelet,
            domain=self._choices.domain,
        )
        kubelet_client = Client(server.transport(user(f"system:node:{name}", "system:nodes")))
        node_parts = NodeParts(node, settings, manager, informers, kubelet_client)
        self._streams[name] = node_parts.kubelet
        self._registered = node_parts.kubelet.registered
        async for part in node_parts.parts():
            yield part

        yield "routes", NodeRoutes(node, informers, name).run()
        host_routes = HostRoutes(node.plan, informers)
        yield "host-routes", host_routes.run()
        yield "uplink", UplinkWatch(node.plan, lambda: self._mend(node), host_routes.renew).run()
        yield "local-ports", LocalPorts(node.plan, informers, EventRecorder(manager, "sampan")).run()
        ca_hash = discovery.hash_of(server.pki.ca.read_bytes())
        nodes = Fleet(self._cluster, manager, server.server_url, ca_hash)
        self._fleet = nodes
        yield "nodes", nodes.run()
        more_nodes = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, more_nodes.set)
        yield "growth", self._grow(more_nodes, nodes, node)

        yield "scheduler", Scheduler(manager, informers, EventRecorder(manager, "default-scheduler")).run()
        events = EventRecorder(manager, "serviceaccount-controller")
        yield "serviceaccount", ServiceAccountController(manager, informers, events, server.pki.ca_pem).run()
        events = EventRecorder(manager, "service-controller")
        given = pools.all_of(self._choices.load_balancers, node.plan)
        former = (*self._choices.former_pools, *pools.defaults(node.plan))
        yield "service", LoadBalancerController(manager, informers, events, given, former).run()
        events = EventRecorder(manager, "node-controller")
        grace_s = self._choices.node_grace_s
        yield "node", NodeLifecycleController(manager, informers, events, grace_s=grace_s).run()
        events = EventRecorder(manager, "certificate-controller")
        authority = (server.pki.ca, server.pki.key("ca"))
        yield "certificates", CertificatesController(manager, informers, events, *authority).run()
        events = EventRecorder(manager, "bootstrap-signer")
        url = f"https://{node.plan.node_ips[0]}:{NODE_API_PORT}"
        yield "bootstrapsigner", BootstrapSigner(manager, informers, events, url, server.pki.ca_pem).run()
        for component, controller in CONTROLLERS.items():
            events = EventRecorder(manager, component)
            yield component, controller(manager, informers, events).run()
