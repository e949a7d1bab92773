"""What a zone hears of the API: namespaces, Services, slices, and Pods if it verifies their names."""

from __future__ import annotations

from sampan.api.objects import Obj, key_of, name_of, namespace_of
from sampan.api.resources import ENDPOINT_SLICES, NAMESPACES, PODS, SERVICES
from sampan.client.informers import Informers
from sampan.dns.zone import Zone

_BY_IP = "dns-ip"


class Feed:
    """Tells `zone` of every change in the turn in which its informer learns of it.

    The zone may be exchanged for another; the new one is told of all there is.
    """

    def __init__(self, informers: Informers, zone: Zone) -> None:
        self._informers, self._zone = informers, zone
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        self._namespaces = informers.informer(NAMESPACES)
        self._follows_pods = False
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._namespaces.subscribe(self._namespace_changed)

    def turn_to(self, zone: Zone) -> None:
        self._zone = zone
        for namespace in self._namespaces.list():
            self._namespace_changed(None, namespace)
        for service in self._services.list():
            self._service_changed(None, service)
        for slice_ in self._slices.list():
            self._slice_changed(None, slice_)

    def follow_pods(self) -> None:
        """From now on `has_pod` may be asked."""
        if not self._follows_pods:
            self._follows_pods = True
            pods = self._informers.informer(PODS)
            pods.add_index(_BY_IP, _addresses)
            pods.subscribe(lambda old, new: self._zone.pod_changed(namespace_of(_either(old, new))))

    def has_pod(self, namespace: str, ip: str) -> bool:
        pods = self._informers.informer(PODS).by_index(_BY_IP, ip)
        return any(namespace_of(pod) == namespace for pod in pods)

    async def whole(self) -> None:
        """Returns once the zone has been told of everything there was at one moment."""
        for informer in (self._services, self._slices, self._namespaces):
            await informer.wait_synced()
        if self._follows_pods:
            await self._informers.informer(PODS).wait_synced()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._zone.set_service(key_of(_either(old, new)), new)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._zone.set_slice(key_of(_either(old, new)), old, new)

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._zone.set_namespace(name_of(_either(old, new)), present=new is not None)


def _addresses(pod: Obj) -> list[str]:
    """A Pod that has ended has its address no more, though it is still written there."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return []
    return [row["ip"] for row in status.get("podIPs") or () if row.get("ip")]


def _either(old: Obj | None, new: Obj | None) -> Obj:
    return new if new is not None else old  # type: ignore[return-value]
