"""`metadata` as the server keeps it: what it writes itself and what clients may not change. Pure functions.

Source: reference/using-api/api-concepts and sig-architecture/api-conventions, "Metadata".
"""

from __future__ import annotations

import uuid

from sampan.api import clock, errors, names
from sampan.api.objects import Obj
from sampan.api.resources import Resource

# Kinds whose `generation` counts changes of what is asked for.
_COUNTED = frozenset(
    [
        ("", "pods"),
        ("", "replicationcontrollers"),
        ("apps", "daemonsets"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("batch", "cronjobs"),
        ("batch", "jobs"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("discovery.k8s.io", "endpointslices"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
        ("resource.k8s.io", "resourceslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("storage.k8s.io", "csidrivers"),
    ]
)
_ORDER = ("kind", "apiVersion", "metadata")
_SERVER_FIELDS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


def counted(resource: Resource) -> bool:
    """Whether objects of this resource carry a generation."""
    return (resource.group, resource.plural) in _COUNTED


def check_scope(resource: Resource, namespace: str, metadata: Obj) -> None:
    """Fills in the URL's namespace; 400 when the object says another one."""
    if not resource.namespaced:
        return
    said = metadata.get("namespace")
    if said and said != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = namespace


def check_uid(resource: Resource, name: str, wanted: str | None, kept: Obj) -> None:
    """409 when the object that is there is another one of the same name."""
    uid = kept.get("uid", "")
    if wanted and wanted != uid:
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
        raise errors.conflict(resource, name, why)


def prepare_create(resource: Resource, obj: Obj) -> None:
    """Identity and birth of a new object. A name is generated where only a prefix is given."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")
    for field in (*_SERVER_FIELDS, "selfLink", "managedFields", "resourceVersion"):
        metadata.pop(field, None)
    if not metadata.get("name") and (prefix := metadata.get("generateName")):
        metadata["name"] = names.generate_name(prefix)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = clock.now()
    if counted(resource):
        metadata["generation"] = 1


def carry_over(new: Obj, old: Obj) -> None:
    """What an update cannot change is taken from the old object."""
    fresh, kept = new["metadata"], old["metadata"]
    for field in ("selfLink", "managedFields"):
        fresh.pop(field, None)
    for field in _SERVER_FIELDS:
        if field in kept:
            fresh[field] = kept[field]
        else:
            fresh.pop(field, None)


def count_change(resource: Resource, new: Obj, old: Obj) -> None:
    """Generation + 1 when what is asked for has changed."""
    if counted(resource) and _asked(resource, new) != _asked(resource, old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def in_order(obj: Obj) -> Obj:
    """kind, apiVersion and metadata first, as people expect to read them."""
    return {field: obj[field] for field in _ORDER if field in obj} | obj


def same(new: Obj, old: Obj) -> bool:
    """Whether nothing but the resourceVersion differs."""
    if {k: v for k, v in new.items() if k != "metadata"} != {k: v for k, v in old.items() if k != "metadata"}:
        return False
    return _without_revision(new["metadata"]) == _without_revision(old["metadata"])


def _without_revision(metadata: Obj) -> Obj:
    return {key: value for key, value in metadata.items() if key != "resourceVersion"}


def _asked(resource: Resource, obj: Obj) -> object:
    if (resource.group, resource.plural) == ("apps", "deployments"):
        return obj.get("spec"), obj["metadata"].get("annotations")
    if "spec" in obj:
        return obj["spec"]
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}
