"""Printers of what governs the API itself: access, admission, extensions, certificates, flow, devices."""

from __future__ import annotations

from sampan.api.objects import Obj, condition_of
from sampan.api.tables import duration
from sampan.api.tables.column import (
    AGE,
    CREATED_AT,
    NAME,
    NONE,
    UNSET,
    Cell,
    Printer,
    at,
    find,
    first_few,
    integer,
    printer,
    size,
    text,
    wide,
)


def _subjects(kind: str) -> Cell:
    def read(obj: Obj, now: float) -> str:
        found = [s for s in obj.get("subjects") or () if s.get("kind") == kind]
        spaced = kind == "ServiceAccount"
        return ", ".join(f"{s.get('namespace', '')}/{s['name']}" if spaced else s["name"] for s in found)

    return read


ROLE_BINDING = printer(
    NAME,
    text("Role", lambda obj, now: f"{find(obj, 'roleRef.kind')}/{find(obj, 'roleRef.name')}"),
    AGE,
    wide("Users", _subjects("User")),
    wide("Groups", _subjects("Group")),
    wide("ServiceAccounts", _subjects("ServiceAccount")),
)

WEBHOOKS = printer(NAME, integer("Webhooks", size("webhooks")), AGE)
NAME_AND_AGE = printer(NAME, AGE)


def _param_kind(obj: Obj, now: float) -> str:
    kind = find(obj, "spec.paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def _param_ref(obj: Obj, now: float) -> str:
    reference = find(obj, "spec.paramRef")
    if not reference:
        return UNSET
    name = reference.get("name") or "*"
    return f"{reference['namespace']}/{name}" if reference.get("namespace") else name


POLICY_BINDING = printer(NAME, text("PolicyName", at("spec.policyName")), text("ParamRef", _param_ref), AGE)


def _api_service(obj: Obj, now: float) -> str:
    service = find(obj, "spec.service")
    return f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"


def _available(obj: Obj, now: float) -> str:
    condition = condition_of(obj, "Available")
    if condition is None:
        return "Unknown"
    status: str = condition.get("status") or ""
    return status if status == "True" else f"{status} ({condition.get('reason', '')})"


def _requested_duration(obj: Obj, now: float) -> str:
    seconds = find(obj, "spec.expirationSeconds")
    return duration.human(seconds) if seconds is not None else NONE


def _csr_condition(obj: Obj, now: float) -> str:
    kinds = {condition.get("type") for condition in find(obj, "status.conditions") or ()}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    if "Failed" in kinds:
        state += ",Failed"
    return f"{state},Issued" if find(obj, "status.certificate") else state


def _missing_level(obj: Obj, now: float) -> str:
    condition = condition_of(obj, "Dangling")
    return (condition.get("status") or "") if condition else "?"


_QUEUING = "spec.limited.limitResponse.queuing"


def _shares(obj: Obj, now: float) -> str:
    for part in ("limited", "exempt"):
        shares = find(obj, f"spec.{part}.nominalConcurrencyShares")
        if shares is not None:
            return str(shares)
    return NONE


def _number(path: str) -> Cell:
    read = at(path, NONE)
    return lambda obj, now: str(read(obj, now))


def _storage_versions(obj: Obj, now: float) -> str:
    stored = find(obj, "status.storageVersions") or ()
    return first_few(f"{v.get('apiServerID', '')}={v.get('encodingVersion', '')}" for v in stored) or UNSET


def _migrated(obj: Obj, now: float) -> str:
    resource = find(obj, "spec.resource") or {}
    return ".".join(filter(None, (resource.get("resource"), resource.get("group"))))


def _claim_state(obj: Obj, now: float) -> str:
    states = (
        ("deleted", obj["metadata"].get("deletionTimestamp")),
        ("allocated", find(obj, "status.allocation")),
        ("reserved", find(obj, "status.reservedFor")),
    )
    return ",".join(name for name, found in states if found) or "pending"


_ADMISSION = "admissionregistration.k8s.io"

PRINTERS: dict[tuple[str, str], Printer] = {
    ("rbac.authorization.k8s.io", "rolebindings"): ROLE_BINDING,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): ROLE_BINDING,
    (_ADMISSION, "mutatingwebhookconfigurations"): WEBHOOKS,
    (_ADMISSION, "validatingwebhookconfigurations"): WEBHOOKS,
    (_ADMISSION, "validatingadmissionpolicies"): printer(
        NAME, integer("Validations", size("spec.validations")), text("ParamKind", _param_kind), AGE
    ),
    (_ADMISSION, "mutatingadmissionpolicies"): printer(
        NAME, integer("Mutations", size("spec.mutations")), text("ParamKind", _param_kind), AGE
    ),
    (_ADMISSION, "validatingadmissionpolicybindings"): POLICY_BINDING,
    (_ADMISSION, "mutatingadmissionpolicybindings"): POLICY_BINDING,
    ("apiextensions.k8s.io", "customresourcedefinitions"): printer(NAME, CREATED_AT),
    ("apiregistration.k8s.io", "apiservices"): printer(
        NAME, text("Service", _api_service), text("Available", _available), AGE
    ),
    ("certificates.k8s.io", "certificatesigningrequests"): printer(
        NAME,
        AGE,
        text("SignerName", at("spec.signerName")),
        text("Requestor", at("spec.username")),
        text("RequestedDuration", _requested_duration),
        text("Condition", _csr_condition),
    ),
    ("certificates.k8s.io", "clustertrustbundles"): printer(NAME, text("SignerName", at("spec.signerName"))),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): printer(
        NAME,
        text("PriorityLevel", at("spec.priorityLevelConfiguration.name")),
        text("MatchingPrecedence", at("spec.matchingPrecedence", 0)),
        text("DistinguisherMethod", at("spec.distinguisherMethod.type", NONE)),
        AGE,
        text("MissingPL", _missing_level),
    ),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): printer(
        NAME,
        text("Type", at("spec.type")),
        text("NominalConcurrencyShares", _shares),
        text("Queues", _number(f"{_QUEUING}.queues")),
        text("HandSize", _number(f"{_QUEUING}.handSize")),
        text("QueueLengthLimit", _number(f"{_QUEUING}.queueLengthLimit")),
        AGE,
    ),
    ("internal.apiserver.k8s.io", "storageversions"): printer(
        NAME,
        text("CommonEncodingVersion", at("status.commonEncodingVersion", UNSET)),
        text("StorageVersions", _storage_versions),
        AGE,
    ),
    ("storagemigration.k8s.io", "storageversionmigrations"): printer(NAME, text("Resource", _migrated), AGE),
    ("resource.k8s.io", "deviceclasses"): NAME_AND_AGE,
    ("resource.k8s.io", "resourceclaimtemplates"): NAME_AND_AGE,
    ("resource.k8s.io", "devicetaintrules"): NAME_AND_AGE,
    ("resource.k8s.io", "resourceclaims"): printer(NAME, text("State", _claim_state), AGE),
    ("resource.k8s.io", "resourceslices"): printer(
        NAME,
        text("Node", at("spec.nodeName", UNSET)),
        text("Driver", at("spec.driver")),
        text("Pool", at("spec.pool.name")),
        AGE,
    ),
}
