"""Rules of Namespaces, Nodes, ConfigMaps, Secrets, Events and Leases."""

from __future__ import annotations

import base64
import binascii

from sampan.api import body, names
from sampan.api.errors import Unreadable, duplicate, forbidden_value, invalid_value, required, too_long
from sampan.api.objects import Obj
from sampan.api.validation import resources
from sampan.api.validation.check import (
    Errors,
    complain,
    dicts,
    form,
    not_negative,
    one_of,
    one_of_if_set,
    positive,
    unchanged,
)
from sampan.api.validation.scheduling import EFFECTS
from sampan.api.walk import json_type

MAX_DATA = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"
REDACTED = "<secret contents redacted>"
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


# --- Namespace ----------------------------------------------------------------------------------------------


def namespace(obj: Obj) -> Errors:
    return _namespace_finalizers(obj, "spec.finalizers")


def _namespace_finalizers(obj: Obj, path: str) -> Errors:
    for finalizer in (obj.get("spec") or {}).get("finalizers") or ():
        yield from form(path, finalizer or "", names.qualified_name)
        if "/" not in (finalizer or "") and finalizer not in STANDARD_FINALIZERS:
            sentence = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid_value(path, finalizer, sentence)


def namespace_status(new: Obj, old: Obj) -> Errors:
    phase = (new.get("status") or {}).get("phase") or ""
    deleting = bool((new.get("metadata") or {}).get("deletionTimestamp"))
    wanted = "Terminating" if deleting else "Active"
    if phase != wanted:
        state = "not empty" if deleting else "empty"
        sentence = f"may only be '{wanted}' if `deletionTimestamp` is {state}"
        yield invalid_value("status.Phase", phase, sentence)


# --- Node ---------------------------------------------------------------------------------------------------


def node(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _taints("metadata.taints", spec)
    yield from _node_resources(obj)
    cidrs = spec.get("podCIDRs") or ()
    for index, cidr in enumerate(cidrs):
        address, slash, _ = (cidr or "").partition("/")
        if not slash or names.parse_ip(address) is None:
            sentence = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield invalid_value(f"spec.podCIDRs[{index}]", cidr, sentence)
    if len(cidrs) > 1 and sorted(":" in (cidr or "") for cidr in cidrs) != [False, True]:
        sentence = "may specify no more than one CIDR for each IP family"
        yield invalid_value("spec.podCIDRs", list(cidrs), sentence)


def node_update(new: Obj, old: Obj) -> Errors:
    yield from _node_resources(new)
    now, was = new.get("spec") or {}, old.get("spec") or {}
    if was.get("podCIDRs") and now.get("podCIDRs") != was["podCIDRs"]:
        sentence = 'node updates may not change podCIDR except from "" to valid'
        yield forbidden_value("spec.podCIDRs", sentence)
    if was.get("providerID") and now.get("providerID") != was["providerID"]:
        sentence = 'node updates may not change providerID except from "" to valid'
        yield forbidden_value("spec.providerID", sentence)
    yield from _taints("metadata.taints", now)


def node_status(new: Obj, old: Obj) -> Errors:
    yield from _node_resources(new)
    seen = []
    for index, address in dicts(new.get("status"), "addresses"):
        if address in seen:
            yield duplicate(f"status.addresses[{index}]", address)
        seen.append(address)


def _node_resources(obj: Obj) -> Errors:
    for field in ("capacity", "allocatable"):
        yield from resources.listed(f"status.{field}", (obj.get("status") or {}).get(field))


def _taints(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, taint in dicts(spec, "taints"):
        at = f"{path}[{index}]"
        yield from form(f"{at}.key", taint.get("key") or "", names.qualified_name)
        for sentence in names.label_value(taint.get("value") or ""):
            yield invalid_value(f"{at}.value", taint.get("value"), sentence)
        yield from one_of(f"{at}.effect", taint.get("effect"), EFFECTS)
        key = (taint.get("key"), taint.get("effect"))
        if key in seen:
            found = duplicate(at, taint)
            yield type(found)(
                at, found.reason, f"{found.message}: taints must be unique by key and effect pair"
            )
        seen.add(key)


# --- ConfigMap, Secret --------------------------------------------------------------------------------------


def config_map(obj: Obj) -> Errors:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, text in data.items():
        yield from complain(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len((text or "").encode(errors="surrogatepass"))
    for key, text in binary.items():
        yield from complain(f"binaryData[{key}]", key, names.config_key(key))
        size += _decoded_size(text or "")
    if size > MAX_DATA:
        yield too_long("", MAX_DATA)


def config_map_update(new: Obj, old: Obj) -> Errors:
    yield from _frozen(new, old, "data", "binaryData")
    yield from config_map(new)


def _frozen(new: Obj, old: Obj, *fields: str) -> Errors:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_value("immutable", FROZEN)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield forbidden_value(field, FROZEN)


def _decoded_size(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


# Secret type -> the keys its data must have.
SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
JSON_SECRETS = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
ACCOUNT_TOKEN, ACCOUNT_NAME = "kubernetes.io/service-account-token", "kubernetes.io/service-account.name"


def secret(obj: Obj) -> Errors:
    data, kind = obj.get("data") or {}, obj.get("type") or ""
    for key in data:
        yield from complain(f"data[{key}]", key, names.config_key(key))
    if sum(_decoded_size(text or "") for text in data.values()) > MAX_DATA:
        yield too_long("data", MAX_DATA)
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if kind == ACCOUNT_TOKEN and not annotations.get(ACCOUNT_NAME):
        yield required(f"metadata.annotations[{ACCOUNT_NAME}]")
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        yield required("data[username]")
        yield required("data[password]")
    for key in SECRET_KEYS.get(kind, ()):
        if key not in data or (kind == "kubernetes.io/ssh-auth" and not data[key]):
            yield required(f"data[{key}]")
        elif kind in JSON_SECRETS:
            yield from _json(f"data[{key}]", data[key] or "")


def _json(path: str, encoded: str) -> Errors:
    try:
        found = body.read_json(base64.b64decode(encoded))
    except (binascii.Error, Unreadable) as error:
        yield invalid_value(path, REDACTED, str(error))
        return
    if found is not None and not isinstance(found, dict):
        wanted = "Go value of type map[string]interface {}"
        yield invalid_value(path, REDACTED, f"json: cannot unmarshal {json_type(found)} into {wanted}")


def secret_update(new: Obj, old: Obj) -> Errors:
    yield from unchanged("type", new.get("type"), old.get("type"))
    yield from _frozen(new, old, "data")
    yield from secret(new)


# --- Event --------------------------------------------------------------------------------------------------

MAX_ACTION, MAX_REASON, MAX_MESSAGE = 128, 128, 1024


def event(obj: Obj) -> Errors:
    """core/v1, as its recorders write it since 2014: the namespace must be the involved object's."""
    involved = obj.get("involvedObject") or {}
    namespace = (obj.get("metadata") or {}).get("namespace") or ""
    where = involved.get("namespace") or ""
    if where and where != namespace:
        sentence = "does not match event.namespace"
        yield invalid_value("involvedObject.namespace", where, sentence)
    elif not where and namespace not in ("default", "kube-system", ""):
        yield invalid_value("involvedObject.namespace", where, "does not match event.namespace")


def new_event(obj: Obj) -> Errors:
    """events.k8s.io/v1 asks for more (KEP-383)."""
    if not obj.get("eventTime"):
        yield required("eventTime")
    if not obj.get("reportingController"):
        yield required("reportingController")
    else:
        yield from form("reportingController", obj["reportingController"], names.qualified_name)
    for field, limit in (("reportingInstance", 128), ("action", MAX_ACTION), ("reason", MAX_REASON)):
        text = obj.get(field) or ""
        if not text:
            yield required(field)
        elif len(text) > limit:
            yield invalid_value(field, "", f"can have at most {limit} characters")
    if len(obj.get("note") or "") > MAX_MESSAGE:
        yield invalid_value("note", "", f"can have at most {MAX_MESSAGE} characters")
    yield from one_of("type", obj.get("type"), ("Normal", "Warning"))


# --- Lease --------------------------------------------------------------------------------------------------


def lease(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from positive("spec.leaseDurationSeconds", spec.get("leaseDurationSeconds"))
    yield from not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))
    strategy = spec.get("strategy")
    yield from one_of_if_set("spec.strategy", strategy, ("OldestEmulationVersion",))
    if spec.get("preferredHolder") is not None and not strategy:
        sentence = "may only be specified if `strategy` is defined"
        yield forbidden_value("spec.preferredHolder", sentence)


def lease_update(new: Obj, old: Obj) -> Errors:
    return lease(new)


# --- PriorityClass ------------------------------------------------------------------------------------------

HIGHEST_USER_PRIORITY = 1_000_000_000


def priority_class(obj: Obj) -> Errors:
    name = (obj.get("metadata") or {}).get("name") or ""
    system = ("system-cluster-critical", "system-node-critical")
    if name.startswith("system-") and name not in system:
        sentence = "priority class names with 'system-' prefix are reserved for system use only"
        yield forbidden_value("metadata.name", sentence)
    elif name not in system and (obj.get("value") or 0) > HIGHEST_USER_PRIORITY:
        sentence = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        yield forbidden_value("value", sentence)
    choices = ("PreemptLowerPriority", "Never")
    yield from one_of_if_set("preemptionPolicy", obj.get("preemptionPolicy"), choices)


def priority_class_update(new: Obj, old: Obj) -> Errors:
    if (new.get("value") or 0) != (old.get("value") or 0):
        yield forbidden_value("Value", "may not be changed in an update.")
    yield from unchanged("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))
