"""Rules of what CSI drivers and attachers put into the API: drivers, nodes, capacities, attachments."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required, too_long
from sampan.api.objects import Obj
from sampan.api.validation import labels
from sampan.api.validation.check import (
    Errors,
    amount,
    complain,
    dicts,
    form,
    needed,
    not_negative,
    one_of_if_set,
    unchanged,
    unsupported,
)

MOST_NAME_BYTES = 63
MOST_NODE_ID = 256
MOST_METADATA_BYTES = 256 * 1024
MOST_ERROR_BYTES = 1024
FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLE_MODES = ("Ephemeral", "Persistent")
LEAST_TOKEN_S, MOST_TOKEN_S = 600, 2**32
LEAST_PERIOD_S = 10
EXACTLY_ONE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def driver_name(path: str, name: str | None) -> Errors:
    if not name:
        yield required(path)
        return
    if len(name) > MOST_NAME_BYTES:
        yield too_long(path, MOST_NAME_BYTES)
    yield from complain(path, name, names.dns_subdomain(name.lower()))


# --- CSIDriver ----------------------------------------------------------------------------------------------


def driver(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    # The first path is upstream's, misspelt as it is.
    for field, path in (
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ):
        if spec.get(field) is None:
            yield required(f"spec.{path}")
    yield from one_of_if_set("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), FS_GROUP_POLICIES)
    yield from _token_requests("spec.tokenRequests", spec)
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in LIFECYCLE_MODES:
            yield unsupported("spec.volumeLifecycleModes", mode, LIFECYCLE_MODES)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < LEAST_PERIOD_S:
        sentence = "must be greater than or equal to 10 seconds"
        yield invalid_value("spec.nodeAllocatableUpdatePeriodSeconds", period, sentence)


def _token_requests(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, request in dicts(spec, "tokenRequests"):
        at, audience = f"{path}[{index}]", request.get("audience") or ""
        if audience in seen:
            yield duplicate(f"{at}.audience", audience)
            continue
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < LEAST_TOKEN_S:
            sentence = "may not specify a duration less than 10 minutes"
            yield invalid_value(f"{at}.expirationSeconds", seconds, sentence)
        if seconds is not None and seconds > MOST_TOKEN_S:
            sentence = "may not specify a duration larger than 2^32 seconds"
            yield invalid_value(f"{at}.expirationSeconds", seconds, sentence)


def driver_update(new: Obj, old: Obj) -> Errors:
    yield from driver(new)
    now, was = new.get("spec") or {}, old.get("spec") or {}
    if now.get("attachRequired") != was.get("attachRequired"):
        yield from unchanged(
            "spec.attachedRequired", [now.get("attachRequired")], [was.get("attachRequired")]
        )
    yield from unchanged(
        "spec.volumeLifecycleModes", now.get("volumeLifecycleModes"), was.get("volumeLifecycleModes")
    )


# --- CSINode ------------------------------------------------------------------------------------------------


def node(obj: Obj) -> Errors:
    seen = set()
    for index, entry in dicts(obj.get("spec"), "drivers"):
        at, name, node_id = f"spec.drivers[{index}]", entry.get("name"), entry.get("nodeID") or ""
        yield from driver_name(f"{at}.name", name)
        yield from needed(f"{at}.nodeID", node_id)
        if len(node_id) > MOST_NODE_ID:
            yield invalid_value(f"{at}.nodeID", node_id, f"must be {MOST_NODE_ID} characters or less")
        count = (entry.get("allocatable") or {}).get("count")
        yield from not_negative(f"{at}.allocatable.count", count)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        keys = entry.get("topologyKeys") or []
        for position, key in enumerate(keys):
            if not key:
                yield required(at)
            if key in keys[:position]:
                yield duplicate(at, key)
            yield from form(at, key, names.qualified_name)


def node_update(new: Obj, old: Obj) -> Errors:
    """A driver's entry may go and come; how many volumes it takes may change."""
    yield from node(new)
    before = {entry.get("name"): entry for _, entry in dicts(old.get("spec"), "drivers")}
    for _, entry in dicts(new.get("spec"), "drivers"):
        if (was := before.get(entry.get("name"))) is not None:
            yield from unchanged("spec.drivers", _without_count(entry), _without_count(was))


def _without_count(entry: Obj) -> Obj:
    return {key: value for key, value in entry.items() if key != "allocatable"}


# --- CSIStorageCapacity -------------------------------------------------------------------------------------


def capacity(obj: Obj) -> Errors:
    yield from labels.selector("nodeTopology", obj.get("nodeTopology"))
    yield from form("storageClassName", obj.get("storageClassName") or "", names.dns_subdomain)
    if obj.get("capacity") is not None:
        yield from amount("capacity", obj["capacity"])


def capacity_update(new: Obj, old: Obj) -> Errors:
    for field in ("nodeTopology", "storageClassName"):
        yield from unchanged(field, new.get(field), old.get(field))


# --- VolumeAttachment ---------------------------------------------------------------------------------------


def attachment(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from driver_name("spec.attacher", spec.get("attacher"))
    yield from _attached("spec.source", spec.get("source") or {})
    yield from form("spec.nodeName", spec.get("nodeName") or "", names.dns_subdomain)


def _attached(path: str, source: Obj) -> Errors:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        yield required(path, EXACTLY_ONE)
    elif inline is not None and name is not None:
        yield forbidden_value(path, EXACTLY_ONE)
    elif name == "":
        yield required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")
    elif name:
        yield from form(f"{path}.persistentVolumeName", name, names.dns_subdomain)


def attachment_update(new: Obj, old: Obj) -> Errors:
    yield from attachment(new)
    yield from unchanged("spec", new.get("spec"), old.get("spec"))


def attachment_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    size = sum(len(k) + len(v or "") for k, v in (status.get("attachmentMetadata") or {}).items())
    if size > MOST_METADATA_BYTES:
        yield too_long("status.attachmentMetadata", MOST_METADATA_BYTES)
    for field in ("attachError", "detachError"):
        failure = status.get(field) or {}
        if len((failure.get("message") or "").encode()) > MOST_ERROR_BYTES:
            yield too_long(f"status.{field}.message", MOST_METADATA_BYTES)
        code = failure.get("errorCode")
        if code is not None and code < 0:
            sentence = f"must be between 0 and {2**31 - 1}, inclusive"
            yield invalid_value(f"status.{field}.errorCode", code, sentence)
