"""Which fields a field selector may name, per resource, and their values in an object.

Source: concepts/overview/working-with-objects/field-selectors, "List of supported fields".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api.objects import Obj
from sampan.api.resources import Resource

Reader = Callable[[Obj], str]


def _at(*path: str) -> Reader:
    def read(obj: Obj) -> str:
        found: Any = obj
        for step in path:
            found = found.get(step) if found else None
        return _text(found)

    return read


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _flag(*path: str) -> Reader:
    read = _at(*path)
    return lambda obj: read(obj) or "false"


def _count(*path: str) -> Reader:
    read = _at(*path)
    return lambda obj: read(obj) or "0"


def _event_source(obj: Obj) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    return source.get("component") or _event_controller(obj)


def _event_controller(obj: Obj) -> str:
    return _text(obj.get("reportingComponent") or obj.get("reportingController"))


def _event_reference(part: str) -> Reader:
    # Both groups share storage, so either spelling may be met.
    return lambda obj: _text((obj.get("involvedObject") or obj.get("regarding") or {}).get(part))


_REFERENCE_PARTS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_NAME = {"metadata.name": _at("metadata", "name")}
_EVERY = {**_NAME, "metadata.namespace": _at("metadata", "namespace")}


def _plain(*dotted: str) -> dict[str, Reader]:
    return {path: _at(*path.split(".")) for path in dotted}


_FIELDS: dict[tuple[str, str], dict[str, Reader]] = {
    ("", "pods"): {
        **_plain(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        "spec.hostNetwork": _flag("spec", "hostNetwork"),
    },
    ("", "nodes"): {"spec.unschedulable": _flag("spec", "unschedulable")},
    ("", "namespaces"): _plain("status.phase"),
    ("", "services"): _plain("spec.clusterIP", "spec.type"),
    ("", "secrets"): _plain("type"),
    ("", "replicationcontrollers"): {"status.replicas": _count("status", "replicas")},
    ("apps", "replicasets"): {"status.replicas": _count("status", "replicas")},
    ("batch", "jobs"): {"status.successful": _count("status", "succeeded")},
    ("certificates.k8s.io", "certificatesigningrequests"): _plain("spec.signerName"),
    ("certificates.k8s.io", "clustertrustbundles"): _plain("spec.signerName"),
    ("certificates.k8s.io", "podcertificaterequests"): _plain(
        "spec.signerName", "spec.podName", "spec.nodeName"
    ),
    ("resource.k8s.io", "resourceslices"): _plain("spec.nodeName", "spec.driver"),
    ("", "events"): {
        **{f"involvedObject.{part}": _event_reference(part) for part in _REFERENCE_PARTS},
        "reason": _at("reason"),
        "reportingComponent": _event_controller,
        "source": _event_source,
        "type": _at("type"),
    },
    ("events.k8s.io", "events"): {
        **{f"regarding.{part}": _event_reference(part) for part in _REFERENCE_PARTS},
        "reason": _at("reason"),
        "reportingController": _event_controller,
        "type": _at("type"),
    },
}
_ALL: dict[tuple[str, str], dict[str, Reader]] = {key: {**_EVERY, **own} for key, own in _FIELDS.items()}


def _readers(resource: Resource) -> dict[str, Reader]:
    return _ALL.get((resource.group, resource.plural), _EVERY)


def supported(resource: Resource) -> frozenset[str]:
    """The names a field selector on this resource may use."""
    return frozenset(_readers(resource))


def unsupported(resource: Resource, name: str) -> str:
    """What upstream says of a name that is not `supported`; the request then fails with 400."""
    if (resource.group, resource.plural) in _FIELDS:
        return f"field label not supported: {name}"
    return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def fields_of(resource: Resource, obj: Obj) -> dict[str, str]:
    """All selectable fields of an object as text; absent ones are empty (flags `false`, counts `0`)."""
    return {name: read(obj) for name, read in _readers(resource).items()}
