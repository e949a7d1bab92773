"""Printers of the core group's other kinds, leases, and Status."""

from __future__ import annotations

from sampan.api.objects import Obj, condition_of, labels_of
from sampan.api.tables import duration
from sampan.api.tables.column import (
    AGE,
    NAME,
    NONE,
    Cell,
    Column,
    Printer,
    at,
    find,
    integer,
    printer,
    size,
    text,
    wide,
)

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def _node_status(obj: Obj, now: float) -> str:
    ready = condition_of(obj, "Ready")
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if find(obj, "spec.unschedulable") else state


def _roles(obj: Obj, now: float) -> str:
    roles = {key.removeprefix(ROLE_PREFIX) for key in labels_of(obj) if key.startswith(ROLE_PREFIX)}
    roles.add(labels_of(obj).get(ROLE_LABEL, ""))
    return ",".join(sorted(roles - {""})) or NONE


def _address(kind: str) -> Cell:
    def read(obj: Obj, now: float) -> str:
        addresses = find(obj, "status.addresses") or ()
        return next((entry["address"] for entry in addresses if entry.get("type") == kind), NONE)

    return read


def _unknown(path: str) -> Cell:
    return at(path, "<unknown>")


# --- events: those of core and of events.k8s.io are one object under two sets of names ----------------------


def _target(obj: Obj) -> Obj:
    return obj.get("involvedObject") or obj.get("regarding") or {}


def _first_seen(obj: Obj, now: float) -> str:
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp")
    return duration.since(first or obj.get("eventTime"), now)


def _last_seen(obj: Obj, now: float) -> str:
    series = obj.get("series")
    if series:
        return duration.since(series.get("lastObservedTime"), now)
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    return duration.since(last, now) if last else _first_seen(obj, now)


def _count(obj: Obj, now: float) -> int:
    series = obj.get("series")
    if series:
        return series.get("count") or 0
    return obj.get("count") or obj.get("deprecatedCount") or 1


def _event_object(obj: Obj, now: float) -> str:
    kind, name = _target(obj).get("kind", "").lower(), _target(obj).get("name")
    return f"{kind}/{name}" if name else kind


def _source(obj: Obj, now: float) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController")
    host = source.get("host") or obj.get("reportingInstance")
    return ", ".join(filter(None, (component, host)))


EVENTS = printer(
    text("Last Seen", _last_seen),
    text("Type", at("type")),
    text("Reason", at("reason")),
    text("Object", _event_object),
    wide("Subobject", lambda obj, now: _target(obj).get("fieldPath") or ""),
    wide("Source", _source),
    text("Message", lambda obj, now: (obj.get("message") or obj.get("note") or "").strip()),
    wide("First Seen", _first_seen),
    wide("Count", _count),
    (Column("Name", wide=True, format="name"), at("metadata.name")),
)


# --- quotas, component statuses -----------------------------------------------------------------------------


def _quota(of_limits: bool) -> Cell:
    def read(obj: Obj, now: float) -> str:
        used = find(obj, "status.used") or {}
        hard = find(obj, "status.hard") or {}
        names = sorted(name for name in hard if name.startswith("limits.") == of_limits)
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)

    return read


def _healthy(obj: Obj) -> Obj:
    return next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), {})


def _health(obj: Obj, now: float) -> str:
    states = {"True": "Healthy", None: "Unknown"}
    return states.get(_healthy(obj).get("status"), "Unhealthy")


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "nodes"): printer(
        NAME,
        text("Status", _node_status),
        text("Roles", _roles),
        AGE,
        text("Version", at("status.nodeInfo.kubeletVersion")),
        wide("Internal-IP", _address("InternalIP")),
        wide("External-IP", _address("ExternalIP")),
        wide("OS-Image", _unknown("status.nodeInfo.osImage")),
        wide("Kernel-Version", _unknown("status.nodeInfo.kernelVersion")),
        wide("Container-Runtime", _unknown("status.nodeInfo.containerRuntimeVersion")),
    ),
    ("", "namespaces"): printer(NAME, text("Status", at("status.phase")), AGE),
    ("", "configmaps"): printer(NAME, text("Data", size("data", "binaryData")), AGE),
    ("", "secrets"): printer(NAME, text("Type", at("type")), text("Data", size("data")), AGE),
    ("", "serviceaccounts"): printer(NAME, AGE),
    ("", "events"): EVENTS,
    ("events.k8s.io", "events"): EVENTS,
    ("", "resourcequotas"): printer(NAME, text("Request", _quota(False)), text("Limit", _quota(True)), AGE),
    ("", "componentstatuses"): printer(
        NAME,
        text("Status", _health),
        text("Message", lambda obj, now: _healthy(obj).get("message") or ""),
        text("Error", lambda obj, now: _healthy(obj).get("error") or ""),
    ),
    ("coordination.k8s.io", "leases"): printer(NAME, text("Holder", at("spec.holderIdentity")), AGE),
    ("coordination.k8s.io", "leasecandidates"): printer(
        NAME,
        text("LeaseName", at("spec.leaseName")),
        text("BinaryVersion", at("spec.binaryVersion")),
        text("EmulationVersion", at("spec.emulationVersion")),
        text("PingTime", at("spec.pingTime")),
        text("RenewTime", at("spec.renewTime")),
        text("Strategy", at("spec.strategy")),
        AGE,
    ),
    ("scheduling.k8s.io", "priorityclasses"): printer(
        NAME,
        integer("Value", at("value", 0)),
        (Column("Global-Default", "boolean"), at("globalDefault", False)),
        AGE,
        text("PreemptionPolicy", at("preemptionPolicy")),
    ),
    ("node.k8s.io", "runtimeclasses"): printer(NAME, text("Handler", at("handler")), AGE),
}
