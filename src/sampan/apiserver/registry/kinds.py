"""Kinds that differ from the rule in a line or two, and the table of all that have hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sampan.api import addresswarnings, clock
from sampan.api.objects import Obj
from sampan.apiserver.registry.certificates import CertificateRequestHooks
from sampan.apiserver.registry.hooks import Call, Hooks
from sampan.apiserver.registry.namespaces import NamespaceHooks
from sampan.apiserver.registry.pods import PodHooks
from sampan.apiserver.registry.services import ServiceHooks


class _Upsert(Hooks):
    """PUT creates what is not there."""

    creates_on_update = True


class _Warned(Hooks):
    """Its author is told what `warnings` finds in it."""

    def __init__(self, warnings: Callable[[Obj], Iterable[str]], *, upsert: bool = False) -> None:
        self._warnings = warnings
        self.creates_on_update = upsert

    def prepare_create(self, call: Call, obj: Obj) -> None:
        self._say(call, obj)

    def prepare_update(self, call: Call, new: Obj, old: Obj) -> None:
        self._say(call, new)

    def _say(self, call: Call, obj: Obj) -> None:
        call.warnings[:] = dict.fromkeys([*call.warnings, *self._warnings(obj)])


class _EndpointSlice(_Warned):
    """A field that v1 has only to show what v1beta1 had written: what is written to it is ignored."""

    def prepare_create(self, call: Call, obj: Obj) -> None:
        self._forget_topology(obj)
        super().prepare_create(call, obj)

    def prepare_update(self, call: Call, new: Obj, old: Obj) -> None:
        self._forget_topology(new)
        super().prepare_update(call, new, old)

    def _forget_topology(self, obj: Obj) -> None:
        for endpoint in obj.get("endpoints") or ():
            if endpoint:
                endpoint.pop("deprecatedTopology", None)


class _Lease(Hooks):
    creates_on_update = True
    unconditional_update = False


class _Conditional(Hooks):
    unconditional_update = False


class _NotServed(_Conditional):
    """Asks the server to serve a group or kind more, which it does not: whoever waits for that is told."""

    def __init__(self, *types: str) -> None:
        self._types = types

    def prepare_create(self, call: Call, obj: Obj) -> None:
        said = {"status": "False", "lastTransitionTime": clock.now(), "reason": "NotServed"}
        said["message"] = "sampan does not serve it yet"
        obj["status"] = {"conditions": [{"type": type_, **said} for type_ in self._types]}


class _ReturnsDeleted(Hooks):
    returns_deleted = True


class _PersistentVolume(_ReturnsDeleted):
    """Says since when it is in its phase."""

    def prepare_create(self, call: Call, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": clock.now()}

    def prepare_status(self, call: Call, new: Obj, old: Obj) -> None:
        now, was = new["status"], old.get("status") or {}
        since = was.get("lastPhaseTransitionTime")
        if now.get("phase") == was.get("phase"):
            if since and not now.get("lastPhaseTransitionTime"):
                now["lastPhaseTransitionTime"] = since
        elif now.get("lastPhaseTransitionTime") in (None, since):
            now["lastPhaseTransitionTime"] = clock.now()


class _VolumeAttachment(_ReturnsDeleted):
    """Not attached, until somebody says so."""

    def prepare_create(self, call: Call, obj: Obj) -> None:
        obj["status"] = {"attached": False}


class _Deployment(Hooks):
    """The status endpoint does not move labels."""

    def prepare_status(self, call: Call, new: Obj, old: Obj) -> None:
        new["metadata"].pop("labels", None)
        if "labels" in old["metadata"]:
            new["metadata"]["labels"] = old["metadata"]["labels"]


def hooks(services: ServiceHooks, nodes: Hooks) -> Mapping[tuple[str, str], Hooks]:
    """All hooks by (group, plural) of the stored form."""
    return {
        ("", "pods"): PodHooks(),
        ("", "namespaces"): NamespaceHooks(),
        ("", "services"): services,
        ("", "nodes"): nodes,
        ("", "endpoints"): _Warned(addresswarnings.of_endpoints, upsert=True),
        ("", "events"): _Upsert(),
        ("", "limitranges"): _Upsert(),
        ("", "podtemplates"): _ReturnsDeleted(),
        ("", "persistentvolumes"): _PersistentVolume(),
        ("", "persistentvolumeclaims"): _ReturnsDeleted(),
        ("", "resourcequotas"): _ReturnsDeleted(),
        ("", "serviceaccounts"): _ReturnsDeleted(),
        ("apps", "deployments"): _Deployment(),
        ("certificates.k8s.io", "certificatesigningrequests"): CertificateRequestHooks(),
        ("coordination.k8s.io", "leases"): _Lease(),
        ("discovery.k8s.io", "endpointslices"): _EndpointSlice(addresswarnings.of_slice),
        ("networking.k8s.io", "networkpolicies"): _Warned(addresswarnings.of_network_policy),
        ("policy", "poddisruptionbudgets"): _Conditional(),
        ("rbac.authorization.k8s.io", "roles"): _Upsert(),
        ("rbac.authorization.k8s.io", "rolebindings"): _Upsert(),
        ("rbac.authorization.k8s.io", "clusterroles"): _Upsert(),
        ("rbac.authorization.k8s.io", "clusterrolebindings"): _Upsert(),
        ("apiextensions.k8s.io", "customresourcedefinitions"): _NotServed("NamesAccepted", "Established"),
        ("apiregistration.k8s.io", "apiservices"): _NotServed("Available"),
        ("storage.k8s.io", "csidrivers"): _ReturnsDeleted(),
        ("storage.k8s.io", "csinodes"): _ReturnsDeleted(),
        ("storage.k8s.io", "storageclasses"): _ReturnsDeleted(),
        ("storage.k8s.io", "volumeattachments"): _VolumeAttachment(),
        ("storage.k8s.io", "volumeattributesclasses"): _ReturnsDeleted(),
        ("resource.k8s.io", "deviceclasses"): _ReturnsDeleted(),
        ("resource.k8s.io", "resourceclaims"): _ReturnsDeleted(),
        ("resource.k8s.io", "resourceclaimtemplates"): _ReturnsDeleted(),
        ("resource.k8s.io", "resourceslices"): _ReturnsDeleted(),
        ("resource.k8s.io", "devicetaintrules"): _ReturnsDeleted(),
    }
