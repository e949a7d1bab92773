"""Objects that every cluster has from its first second, and Pods' way to the API for as long as it runs."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from dataclasses import dataclass

from sampan.api import clock
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.persistence import DIRECTORIES, IS_DEFAULT
from sampan.api.request import MERGE_PATCH, Request, Transport
from sampan.api.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    PRIORITY_CLASSES,
    SERVICE_CIDRS,
    SERVICES,
    STORAGE_CLASSES,
    Resource,
)
from sampan.apiserver.notices import Notices
from sampan.apiserver.servicecidrs import FINALIZER

RETRY_S = 10.0

log = logging.getLogger(__name__)

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITIES = (
    ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster."),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their node.",
    ),
)


@dataclass(frozen=True, slots=True)
class Advertised:
    """Where Pods reach the API. An empty `host` means that they cannot."""

    service_cidrs: tuple[str, ...]
    host: str
    port: int

    @property
    def service_ip(self) -> str:
        return str(ipaddress.ip_network(self.service_cidrs[0])[1])


async def bootstrap(transport: Transport, advertised: Advertised) -> None:
    """Creates what is missing; corrects where `kubernetes` leads. Safe to run again at any time."""
    first = [_create(transport, NAMESPACES, "", _named(name)) for name in _NAMESPACES]
    first += [_create(transport, PRIORITY_CLASSES, "", _priority(*row)) for row in _PRIORITIES]
    first.append(_provide_cidrs(transport, advertised))
    await asyncio.gather(*first)
    await _create(transport, SERVICES, "default", _service(advertised))
    if advertised.host:
        await asyncio.gather(
            _ensure(transport, ENDPOINTS, _endpoints(advertised), "subsets"),
            _ensure(transport, ENDPOINT_SLICES, _slice(advertised), "endpoints", "ports"),
        )


async def provide_class(transport: Transport) -> None:
    """A default StorageClass for clusters that have none; what users make of it, and whether they have
    another instead, is theirs.
    """
    present = await transport.call(Request("list", STORAGE_CLASSES))
    if not present.get("items"):
        await _create(transport, STORAGE_CLASSES, "", _standard_class())


async def keep(transport: Transport, advertised: Advertised) -> None:
    """Puts back what somebody deletes or changes of the `kubernetes` Service, and first namespaces.

    Nodes would be lost without that of their leases. Runs until cancelled.
    """
    named = {"fieldSelector": "metadata.name=kubernetes"}
    kept = [
        Request("watch", each, "default", params=named) for each in (SERVICES, ENDPOINTS, ENDPOINT_SLICES)
    ]
    kept.append(Request("watch", SERVICE_CIDRS, params=named))
    async with asyncio.TaskGroup() as group:
        for request in (*kept, Request("watch", NAMESPACES)):
            group.create_task(_keep(transport, advertised, request))


async def _keep(transport: Transport, advertised: Advertised, request: Request) -> None:
    due = False
    while True:
        try:
            if due:
                await bootstrap(transport, advertised)
                due = False
            async for event in transport.watch(request):
                name = event.object["metadata"]["name"]
                gone = event.type == "DELETED" and name in ("kubernetes", *_NAMESPACES)
                led_astray = event.type == "MODIFIED" and name == "kubernetes"
                if gone or (led_astray and request.resource is not SERVICE_CIDRS):
                    due = True
                    await bootstrap(transport, advertised)
                    due = False
            due = True  # between two watches something may have gone
        except StatusError as error:  # a full disk, say
            log.warning("objects that every cluster has: %s", error.message)
            await asyncio.sleep(RETRY_S)


async def _provide_cidrs(transport: Transport, advertised: Advertised) -> bool:
    """The ServiceCIDR of the configured ranges. A second family may be added to it later; anything else that
    it says and the configuration does not, is told.
    """
    wanted = list(advertised.service_cidrs)
    metadata = {"name": "kubernetes", "finalizers": [FINALIZER]}
    if await _create(transport, SERVICE_CIDRS, "", {"metadata": metadata, "spec": {"cidrs": wanted}}):
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "",
            "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": clock.now(),
        }
        await _patch(transport, SERVICE_CIDRS, "", {"status": {"conditions": [condition]}}, "status")
        return True
    present = await transport.call(Request("get", SERVICE_CIDRS, name="kubernetes"))
    cidrs = present["spec"]["cidrs"]
    if len(cidrs) == 1 and len(wanted) == 2 and cidrs == wanted[:1]:
        await _patch(transport, SERVICE_CIDRS, "", {"spec": {"cidrs": wanted}})
    elif cidrs != wanted:
        why = (
            f"The default ServiceCIDR [{' '.join(cidrs)}] does not match the controller flag configurations "
            f"[{' '.join(wanted)}]"
        )
        notices = Notices(transport, "kubernetes-service-cidr-controller")
        await notices.warn(present, "KubernetesDefaultServiceCIDRInconsistent", why)
    return False


async def _create(transport: Transport, resource: Resource, namespace: str, obj: Obj) -> bool:
    try:
        await transport.call(Request("create", resource, namespace, body=obj))
    except StatusError as error:
        if error.reason not in ("AlreadyExists", "Invalid"):
            raise
        # Invalid: the address of a Service that is already there is taken, by itself.
        await transport.call(Request("get", resource, namespace, obj["metadata"]["name"]))
        return False
    return True


async def _ensure(transport: Transport, resource: Resource, obj: Obj, *fields: str) -> None:
    """Creates the object, or makes `fields` of the one that is there what they should be."""
    wanted = {field: obj[field] for field in fields}
    if await _create(transport, resource, "default", obj):
        return
    await _patch(transport, resource, "default", wanted)


async def _patch(
    transport: Transport, resource: Resource, namespace: str, body: Obj, subresource: str = ""
) -> None:
    """Changes the object named `kubernetes`."""
    await transport.call(
        Request("patch", resource, namespace, "kubernetes", subresource, body=body, content_type=MERGE_PATCH)
    )


def _named(name: str) -> Obj:
    return {"metadata": {"name": name}}


def _priority(name: str, value: int, description: str) -> Obj:
    return {**_named(name), "value": value, "description": description}


def _standard_class() -> Obj:
    return {
        "metadata": {"name": "standard", "annotations": {IS_DEFAULT[0]: "true"}},
        "provisioner": DIRECTORIES,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }


def _service(advertised: Advertised) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    return {
        "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": advertised.service_ip,
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": advertised.port}],
        },
    }


def _endpoints(advertised: Advertised) -> Obj:
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    port = {"name": "https", "port": advertised.port, "protocol": "TCP"}
    return {
        "metadata": {"name": "kubernetes", "labels": labels},
        "subsets": [{"addresses": [{"ip": advertised.host}], "ports": [port]}],
    }


def _slice(advertised: Advertised) -> Obj:
    return {
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv6" if ":" in advertised.host else "IPv4",
        "endpoints": [{"addresses": [advertised.host], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": advertised.port, "protocol": "TCP"}],
    }
