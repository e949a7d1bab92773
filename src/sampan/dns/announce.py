"""The Service `kube-dns`: by this name and address people and programs look for a cluster's DNS.

Nothing is forwarded for it: the address is the node's own, and the server listens on exactly that.
"""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import SERVICES
from sampan.client.client import Client

NAMESPACE = "kube-system"
NAME = "kube-dns"


def dns_service(ip: str) -> Obj:
    labels = {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"}
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {"clusterIP": ip, "ports": ports},
    }


async def announce(client: Client, ip: str) -> None:
    """Creates the Service unless it is there."""
    try:
        await client.create(SERVICES, dns_service(ip))
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
