"""What runs on every node, be it the cluster's own process or one that has joined: proxy, DNS, kubelet.

Two things are handed from part to part directly. The drain: the kubelet asks the proxy whether a Pod is out
of the kernel before it is told to stop. And the gate: it asks whether the kernel holds a Pod to its network
policies before anything of it starts. Sockets that belong to the node are opened inside its namespace.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sampan.cli.cluster import DEFAULT_DOMAIN
from sampan.cli.nodedns import NodeDns
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.kubelet import configfile
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.images.store import ImageStore
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.network.node import NodeNamespace
from sampan.kubelet.network.veth import VethNetwork
from sampan.kubelet.runtime.crun import CrunRuntime
from sampan.proxy import healthz, numbers
from sampan.proxy.policy.enforcer import Enforcer, PolicyConfig, dns_stand_in
from sampan.proxy.proxy import Proxy, ProxyConfig

KUBELET_PORT = 10250
"""Where the node's own pages are asked for."""


@dataclass(frozen=True)
class NodeSettings:
    """What one node is told. `data` is its own directory; `kubelet` a KubeletConfiguration, or empty."""

    name: str
    data: Path
    cgroup: str
    images: Path
    mirrors: Mapping[str, str] = field(default_factory=dict)
    unsafe_sysctls: Sequence[str] = ()
    kubelet: Mapping[str, Any] = field(default_factory=dict)
    domain: str = DEFAULT_DOMAIN


class NodeParts:
    """`reader` sees the whole cluster (the proxy's and the DNS server's view, shared by `informers`);
    `own` is the kubelet's client.
    """

    def __init__(
        self, node: NodeNamespace, settings: NodeSettings, reader: Client, informers: Informers, own: Client
    ) -> None:
        plan = node.plan
        self.proxy = Proxy(
            reader,
            informers,
            node.socket,
            node.load_nft,
            ProxyConfig(
                node_name=settings.name,
                node_ips=plan.node_ips,
                pod_cidrs=plan.pod_cidrs,
                service_cidrs=plan.service_cidrs,
                load_balancers=plan.load_balancers,
                cluster_cidrs=plan.cluster_cidrs,
                health_port=healthz.PORT,
                metrics_port=numbers.PORT,
                own_ips=frozenset(plan.dns_ips),
            ),
        )
        self.policies = Enforcer(
            reader,
            informers,
            node.socket,
            PolicyConfig(settings.name, (dns_stand_in(tuple(plan.dns_ips)),), plan.node_ips),
        )
        self.dns = NodeDns(node, settings.name, settings.data, settings.domain, reader, informers)
        self.kubelet = Kubelet(
            own,
            informers,
            EventRecorder(own, "kubelet", settings.name),
            CrunRuntime(settings.data, node_netns=node.path),
            ImageStore(settings.images, settings.mirrors),
            VethNetwork(node, settings.data / "addresses"),
            node,
            replace(
                KubeletConfig(
                    node_name=settings.name,
                    root=settings.data,
                    image_root=settings.images,
                    cluster_dns=plan.dns_ips[:1],
                    cluster_domain=settings.domain,
                    cgroup_root=settings.cgroup,
                    pod_cidrs=plan.pod_cidrs,
                    allowed_unsafe_sysctls=tuple(settings.unsafe_sysctls),
                ),
                **configfile.settings(settings.kubelet),
            ),
            self.proxy.drained,
            gate=self.policies,
        )

    async def parts(self) -> AsyncIterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Each as a named coroutine, in the order in which they should begin."""
        yield "proxy", self.proxy.run()
        yield "policies", self.policies.run()
        yield "dns", self.dns.run()
        yield "kubelet", self.kubelet.run()


async def listening(node: NodeNamespace, ip: str, port: int) -> socket.socket:
    """A TCP socket that listens inside the node's namespace."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = await node.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((ip, port))
    sock.listen(512)
    return sock
