"""Rules of PersistentVolumes."""

from __future__ import annotations

import posixpath

from sampan.api import names
from sampan.api.errors import forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.persistence import FACTS
from sampan.api.validation import volumesources
from sampan.api.validation.check import Errors, form, needed, one_of_if_set, unchanged, unsupported
from sampan.api.validation.claims import VOLUME_MODES, access_modes, positive_amount
from sampan.api.validation.csi import driver_name
from sampan.api.validation.scheduling import node_selector

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
SECRETS = (
    "controllerExpandSecretRef",
    "controllerPublishSecretRef",
    "nodeExpandSecretRef",
    "nodePublishSecretRef",
    "nodeStageSecretRef",
)


def volume(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    yield from access_modes("spec", spec)
    yield from _capacity(spec.get("capacity") or {})
    policy = spec.get("persistentVolumeReclaimPolicy")
    yield from one_of_if_set("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES)
    yield from _node_affinity("spec.nodeAffinity", spec.get("nodeAffinity"))
    yield from _made_of("spec", spec)
    if posixpath.normpath((spec.get("hostPath") or {}).get("path") or ".") == "/" and policy == "Recycle":
        sentence = "may not be 'recycle' for a hostPath mount of '/'"
        yield forbidden_value("spec.persistentVolumeReclaimPolicy", sentence)
    if spec.get("storageClassName"):
        yield from form("spec.storageClassName", spec["storageClassName"], names.dns_subdomain)
    yield from one_of_if_set("spec.volumeMode", spec.get("volumeMode"), VOLUME_MODES)
    yield from _attributes("spec", spec)


def _capacity(capacity: Obj) -> Errors:
    if not capacity:
        yield required("spec.capacity")
    if set(capacity) != {"storage"}:
        yield unsupported("spec.capacity", capacity, ("storage",))
    for name, text in capacity.items():
        yield from positive_amount(f"spec.capacity[{name}]", text)


def _node_affinity(path: str, affinity: Obj | None) -> Errors:
    if affinity is None:
        return
    if affinity.get("required") is None:
        yield required(f"{path}.required", "must specify required node constraints")
    else:
        yield from node_selector(f"{path}.required", affinity["required"])


def _made_of(path: str, spec: Obj) -> Errors:
    first, *others = sorted(_sources(spec)) or [""]
    if not first:
        yield required(path, "must specify a volume type")
        return
    at, source = f"{path}.{first}", spec[first] or {}
    if first == "local":
        yield from _local(path, at, source, spec)
    elif first == "csi":
        yield from _csi(at, source)
    else:
        yield from volumesources.source(at, first, source)
    for other in others:
        yield forbidden_value(f"{path}.{other}", "may not specify more than 1 volume type")


def _local(path: str, at: str, source: Obj, spec: Obj) -> Errors:
    if not source.get("path"):
        yield required(f"{at}.path")
    elif ".." in source["path"].split("/"):
        yield invalid_value(f"{at}.path", source["path"], "must not contain '..'")
    if (spec.get("nodeAffinity") or {}).get("required") is None:
        yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")


def _csi(path: str, source: Obj) -> Errors:
    yield from driver_name(f"{path}.driver", source.get("driver"))
    yield from needed(f"{path}.volumeHandle", source.get("volumeHandle"))
    for field in SECRETS:
        if (secret := source.get(field)) is not None:
            yield from needed(f"{path}.{field}.name", secret.get("name"))
            yield from needed(f"{path}.{field}.namespace", secret.get("namespace"))


def _attributes(path: str, spec: Obj) -> Errors:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return
    at = f"{path}.volumeAttributesClassName"
    if not name:
        yield required(at, "an empty string is disallowed")
    else:
        yield from form(at, name, names.dns_subdomain)
    if spec.get("csi") is None:
        yield required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def volume_update(new: Obj, old: Obj) -> Errors:
    yield from volume(new)
    now, was = new.get("spec") or {}, old.get("spec") or {}
    if _settled(now) != _settled(was):
        yield forbidden_value(
            "spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"
        )
    yield from unchanged("volumeMode", now.get("volumeMode"), was.get("volumeMode"))
    if was.get("nodeAffinity") is not None:
        yield from unchanged("nodeAffinity", now.get("nodeAffinity"), was["nodeAffinity"])


def _sources(spec: Obj) -> Obj:
    return {field: value for field, value in spec.items() if field not in FACTS and value is not None}


def _settled(spec: Obj) -> Obj:
    """What the volume is made of; the secrets to expand it with may be given later."""
    sources = _sources(spec)
    if sources.get("csi"):
        later = ("controllerExpandSecretRef", "nodeExpandSecretRef")
        sources["csi"] = {key: value for key, value in sources["csi"].items() if key not in later}
    return sources
