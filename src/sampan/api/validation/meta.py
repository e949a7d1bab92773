"""Rules of `metadata`, the same for all kinds but for the form of the name."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import FieldError, forbidden_value, invalid_value, required, too_long
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.api.validation import labels
from sampan.api.validation.check import Errors, Form, complain, dicts, form, not_negative, unchanged

PATH = "metadata"
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
CRON_JOB_NAME_LENGTH = 52
MANAGER_LENGTH, SUBRESOURCE_LENGTH = 128, 256


def path_segment(text: str) -> list[str]:
    """Whatever can stand between two slashes: names of RBAC objects, which like to have colons."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{sign}'" for sign in "/%" if sign in text]


def _cron_job_name(text: str) -> list[str]:
    # The Jobs' names add eleven characters of time.
    if len(text) > CRON_JOB_NAME_LENGTH:
        return [*names.dns_subdomain(text), f"must be no more than {CRON_JOB_NAME_LENGTH} characters"]
    return names.dns_subdomain(text)


NAME_FORMS: dict[tuple[str, str], Form] = {
    ("", "Namespace"): names.dns_label,
    ("", "Service"): names.dns_1035_label,
    ("batch", "CronJob"): _cron_job_name,
    ("networking.k8s.io", "IPAddress"): names.canonical_ip,
    **{
        ("rbac.authorization.k8s.io", kind): path_segment
        for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    },
    # certificates' trust bundles carry their signer's name and colons
    ("certificates.k8s.io", "ClusterTrustBundle"): path_segment,
}

# Kinds that may only be replaced by whoever names the revision he has seen.
CONDITIONAL_KINDS = frozenset(
    (
        ("coordination.k8s.io", "Lease"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "APIService"),
        ("node.k8s.io", "RuntimeClass"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "CSINode"),
        ("storage.k8s.io", "VolumeAttachment"),
    )
)


def create(resource: Resource, obj: Obj) -> Errors:
    metadata = obj.get("metadata") or {}
    check = NAME_FORMS.get((resource.group, resource.kind), names.dns_subdomain)
    prefix = metadata.get("generateName")
    if prefix:
        yield from complain(f"{PATH}.generateName", prefix, check(_without_dash(prefix)))
    if not metadata.get("name"):
        yield required(f"{PATH}.name", "name or generateName is required")
    else:
        yield from form(f"{PATH}.name", metadata["name"], check)
    yield from _namespace(resource, metadata)
    yield from not_negative(f"{PATH}.generation", metadata.get("generation"))
    yield from _contents(metadata)


def _without_dash(prefix: str) -> str:
    """A prefix may end in a dash, which a name may not."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def _namespace(resource: Resource, metadata: Obj) -> Errors:
    namespace = metadata.get("namespace")
    if not resource.namespaced:
        if namespace:
            yield forbidden_value(f"{PATH}.namespace", "not allowed on this type")
    elif not namespace:
        yield required(f"{PATH}.namespace")
    else:
        yield from form(f"{PATH}.namespace", namespace, names.dns_label)


def _contents(metadata: Obj) -> Errors:
    """What holds for new and changed objects alike."""
    yield from labels.label_map(f"{PATH}.labels", metadata.get("labels"))
    yield from labels.annotation_map(f"{PATH}.annotations", metadata.get("annotations"))
    if metadata.get("ownerReferences"):
        yield from _owners(f"{PATH}.ownerReferences", metadata)
    if metadata.get("finalizers"):
        yield from _finalizers(f"{PATH}.finalizers", metadata["finalizers"])
    for index, entry in dicts(metadata, "managedFields"):
        yield from _managed_fields(f"{PATH}.managedFields[{index}]", entry)


def _owners(path: str, metadata: Obj) -> Errors:
    first_controller = ""
    for _, owner in dicts(metadata, "ownerReferences"):
        version = (owner.get("apiVersion") or "").rpartition("/")[2]
        if not version:
            yield invalid_value(
                f"{path}.apiVersion", owner.get("apiVersion", ""), "version must not be empty"
            )
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield invalid_value(f"{path}.{field}", owner.get(field, ""), "must not be empty")
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            yield invalid_value(path, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            name = f"{owner.get('kind')}/{owner.get('name')}"
            if first_controller:
                yield invalid_value(
                    path,
                    metadata["ownerReferences"],
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{first_controller} and {name}",
                )
            first_controller = first_controller or name


def _finalizers(path: str, finalizers: list[str]) -> Errors:
    for finalizer in finalizers:
        yield from form(path, finalizer or "", names.qualified_name)
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        yield invalid_value(path, finalizers, f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set")


def _managed_fields(path: str, entry: Obj) -> Errors:
    if entry.get("operation") not in ("Apply", "Update"):
        yield invalid_value(f"{path}.operation", entry.get("operation", ""), "must be `Apply` or `Update`")
    if entry.get("fieldsType") and entry["fieldsType"] != "FieldsV1":
        yield invalid_value(f"{path}.fieldsType", entry["fieldsType"], "must be `FieldsV1`")
    if len(entry.get("manager") or "") > MANAGER_LENGTH:
        yield too_long(f"{path}.manager", MANAGER_LENGTH)
    if len(entry.get("subresource") or "") > SUBRESOURCE_LENGTH:
        yield too_long(f"{path}.subresource", SUBRESOURCE_LENGTH)


# --- changes ------------------------------------------------------------------------------------------------


def update(resource: Resource, new_obj: Obj, old_obj: Obj) -> Errors:
    """What the server owns and leaves out of a request counts as unchanged."""
    new, old = new_obj.get("metadata") or {}, old_obj.get("metadata") or {}
    if old.get("deletionTimestamp"):
        yield from _no_new_finalizers(new.get("finalizers") or [], old.get("finalizers") or [])
    if not new.get("resourceVersion") and (resource.group, resource.kind) in CONDITIONAL_KINDS:
        yield invalid_value(f"{PATH}.resourceVersion", "", "must be specified for an update")
    if (new.get("generation") or old.get("generation") or 0) < (old.get("generation") or 0):
        yield invalid_value(f"{PATH}.generation", new.get("generation"), "must not be decremented")
    for field in ("name", "namespace"):
        yield from unchanged(f"{PATH}.{field}", new.get(field), old.get(field))
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(field) is not None:
            yield from unchanged(f"{PATH}.{field}", new[field], old.get(field))
    yield from _contents(new)


def _no_new_finalizers(new: list[str], old: list[str]) -> list[FieldError]:
    added = sorted(set(new) - set(old))
    if not added:
        return []
    listed = ", ".join(f'"{name}"' for name in added)
    return [
        forbidden_value(
            f"{PATH}.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{listed}}}",
        )
    ]
