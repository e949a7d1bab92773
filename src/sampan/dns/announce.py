"""What the API shows of the cluster's DNS: the Service `kube-dns`, its endpoints, and the configuration.

By this name and address people and programs look for a cluster's DNS. Nothing is forwarded for it: the
address is each node's own, and the server listens on exactly that. It also listens on the nodes' addresses;
these are the endpoints, so that a Prometheus finds every server by itself. One task in the cluster writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, is_deleting, name_of, uid_of
from sampan.api.resources import CONFIG_MAPS, ENDPOINT_SLICES, NODES, SERVICES, Resource
from sampan.client.client import Client
from sampan.client.informers import Informers
from sampan.dns.config import default_corefile

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
NAME = "kube-dns"
COREFILE = "coredns"
"""The ConfigMap that users know from kubeadm."""
METRICS_PORT = 9153
MANAGER = "dns.sampan.dev"
LABELS = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"}
PORTS = (("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", METRICS_PORT, "TCP"))
_RETRY_S = 1.0


def dns_service(ips: Sequence[str]) -> Obj:
    """`ips`: the DNS address in each of the cluster's families, the primary one first."""
    ports = [{"name": name, "port": port, "protocol": proto} for name, port, proto in PORTS]
    families = ["IPv6" if ":" in ip else "IPv4" for ip in ips]
    policy = "RequireDualStack" if len(ips) > 1 else "SingleStack"
    spec = {"clusterIP": ips[0], "clusterIPs": list(ips), "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": LABELS,
            "annotations": {"prometheus.io/port": str(METRICS_PORT), "prometheus.io/scrape": "true"},
        },
        "spec": {**spec, "ipFamilies": families, "ipFamilyPolicy": policy},
    }


def corefile_map(domain: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": COREFILE, "namespace": NAMESPACE},
        "data": {"Corefile": default_corefile(domain)},
    }


def dns_slices(service: Obj, nodes: Iterable[Obj]) -> list[Obj]:
    """One slice for each family of the Service, with every node that has an address of it. Pure."""
    ports = [{"name": name, "port": port, "protocol": proto} for name, port, proto in PORTS]
    owner = {"apiVersion": "v1", "kind": "Service", "name": NAME, "uid": uid_of(service)}
    found = []
    for family in service["spec"].get("ipFamilies") or ["IPv4"]:
        endpoints = [
            endpoint
            for node in sorted(nodes, key=name_of)
            if (endpoint := _endpoint(node, six=family == "IPv6")) is not None
        ]
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{NAME}-{family.lower()}",
                    "namespace": NAMESPACE,
                    "labels": {
                        **LABELS,
                        "kubernetes.io/service-name": NAME,
                        "endpointslice.kubernetes.io/managed-by": MANAGER,
                    },
                    "ownerReferences": [owner],
                },
                "addressType": family,
                "endpoints": endpoints,
                "ports": ports,
            }
        )
    return found


def _endpoint(node: Obj, *, six: bool) -> Obj | None:
    status = node.get("status") or {}
    ips = [row["address"] for row in status.get("addresses") or () if row["type"] == "InternalIP"]
    ip = next((ip for ip in ips if (":" in ip) == six), None)
    if ip is None or is_deleting(node):
        return None
    ready = any(row["type"] == "Ready" and row["status"] == "True" for row in status.get("conditions") or ())
    conditions = {"ready": ready, "serving": ready, "terminating": False}
    return {"addresses": [ip], "conditions": conditions, "nodeName": name_of(node)}


class Announcer:
    """Writes these objects, and keeps the endpoints true as nodes come and go.

    What users may change stays as they left it: the ConfigMap, and the Service but for ports and addresses.
    """

    def __init__(self, client: Client, informers: Informers, ips: Sequence[str], domain: str) -> None:
        self._client, self._ips, self._domain = client, ips, domain
        self._nodes = informers.informer(NODES)
        self._changed = asyncio.Event()

    async def announce(self) -> Obj:
        """The Service, with the ConfigMap beside it."""
        await self._create(CONFIG_MAPS, corefile_map(self._domain))
        wanted = dns_service(self._ips)
        there = await self._create(SERVICES, wanted)
        spec, said = there["spec"], wanted["spec"]
        ports = [[port[key] for key in ("name", "port", "protocol")] for port in spec.get("ports") or ()]
        if ports != [list(port) for port in PORTS] or spec.get("clusterIPs") != said["clusterIPs"]:
            there = await self._client.patch(SERVICES, NAME, {"spec": said}, namespace=NAMESPACE)
        return there

    async def run(self) -> None:
        try:
            service = await self.announce()
        except StatusError as error:
            # The address may be another Service's by now. Names are answered all the same.
            log.error("the Service %s/%s cannot be made: %s", NAMESPACE, NAME, error.message)
            await asyncio.Event().wait()
        self._nodes.subscribe(lambda old, new: self._changed.set())
        await self._nodes.wait_synced()
        written: dict[str, Obj] = {}
        while True:
            self._changed.clear()
            for slice_ in dns_slices(service, self._nodes.list()):
                if written.get(name_of(slice_)) == slice_:
                    continue
                try:
                    await self._write(slice_)
                    written[name_of(slice_)] = slice_
                except (StatusError, OSError):
                    await asyncio.sleep(_RETRY_S)
                    self._changed.set()
            await self._changed.wait()

    async def _create(self, resource: Resource, obj: Obj) -> Obj:
        """What is there afterwards, be it this or what was there before."""
        try:
            return await self._client.create(resource, obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return await self._client.get(resource, name_of(obj), NAMESPACE)

    async def _write(self, slice_: Obj) -> None:
        there = await self._create(ENDPOINT_SLICES, slice_)
        keys = ("endpoints", "ports")
        if any(there.get(key) != slice_[key] for key in keys):
            change = {key: slice_[key] for key in keys}
            await self._client.patch(ENDPOINT_SLICES, name_of(slice_), change, namespace=NAMESPACE)
