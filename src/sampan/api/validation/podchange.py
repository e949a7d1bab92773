"""What may change in a Pod that exists: hardly anything of its spec, and its status only forwards."""

from __future__ import annotations

from typing import Any

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden_value, invalid_value, show
from sampan.api.objects import Obj
from sampan.api.restartpolicy import is_restarted
from sampan.api.validation import scheduling
from sampan.api.validation.check import Errors, dicts, form, unchanged
from sampan.api.validation.pod import MAX_INT32, MIRROR, whole

UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
# Fields whose zero value is the same as none.
_ZERO_IS_NONE = frozenset(
    (
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "hostPort",
        "initialDelaySeconds",
        "readOnly",
        "stdin",
        "stdinOnce",
        "tty",
    )
)


def update(new_pod: Obj, old_pod: Obj) -> list[FieldError]:
    """Hardly anything of a Pod's spec may change; a breach that makes the rest pointless ends the list."""
    new, old = new_pod.get("spec") or {}, old_pod.get("spec") or {}
    errors = list(_whole_update(new_pod, old_pod))
    for key in ("containers", "initContainers"):
        if len(new.get(key) or ()) != len(old.get(key) or ()):
            return [*errors, forbidden_value(f"spec.{key}", "pod updates may not add or remove containers")]
    if deadline := _deadline(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")):
        return [*errors, deadline]
    errors += scheduling.only_added_tolerations("spec.tolerations", new, old)
    errors += scheduling.only_deleted_gates("spec.schedulingGates", new, old)
    if old.get("schedulingGates"):
        errors += _gated(new, old)
    changed = differences("spec", _essence(_settled(new, old)), _essence(old))
    if changed:
        head = f"pod updates may not change fields other than {','.join(UPDATABLE)}"
        errors.append(forbidden_value("spec", "\n".join([head, *changed])))
    return errors


def _whole_update(new: Obj, old: Obj) -> Errors:
    before = ((old.get("metadata") or {}).get("annotations") or {}).get(MIRROR)
    after = ((new.get("metadata") or {}).get("annotations") or {}).get(MIRROR)
    at = f"metadata.annotations[{MIRROR}]"
    if before is not None and after != before:
        yield forbidden_value(at, "may not remove or update mirror pod annotation")
    elif before is None and after is not None:
        yield forbidden_value(at, "may not add mirror pod annotation")
    yield from whole(new)


def _deadline(new: int | None, old: int | None) -> FieldError | None:
    at = "spec.activeDeadlineSeconds"
    if new is None:
        sentence = "must not update from a positive integer to nil value"
        return None if old is None else invalid_value(at, None, sentence)
    if not 0 <= new <= MAX_INT32:
        return invalid_value(at, new, f"must be between 0 and {MAX_INT32}, inclusive")
    if old is not None and old < new:
        return invalid_value(at, new, "must be less than or equal to previous value")
    return None


def _gated(new: Obj, old: Obj) -> Errors:
    """A Pod that is not yet to be scheduled may have its node selection narrowed (KEP-3838)."""
    selector, before = new.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in before.items()):
        sentence = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid_value("spec.nodeSelector", selector, sentence)
    terms, had = _node_terms(new), _node_terms(old)
    at = f"spec.affinity.nodeAffinity.{scheduling.REQUIRED}.nodeSelectorTerms"
    if had and len(had) != len(terms):
        sentence = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield invalid_value(at, terms, sentence)
        return
    for index, (term, was) in enumerate(zip(terms, had, strict=False)):
        if not _only_added(term, was):
            yield invalid_value(
                f"{at}[{index}]", term, "only additions are allowed (no mutations or deletions)"
            )


def _node_terms(spec: Obj) -> list[Obj]:
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return (node_affinity.get(scheduling.REQUIRED) or {}).get("nodeSelectorTerms") or []


def _only_added(term: Obj, was: Obj) -> bool:
    kinds = ("matchExpressions", "matchFields")
    if not any(was.get(kind) for kind in kinds):
        return not any(term.get(kind) for kind in kinds)
    return all((term.get(kind) or [])[: len(was.get(kind) or [])] == (was.get(kind) or []) for kind in kinds)


def _settled(new: Obj, old: Obj) -> Obj:
    """The new spec with what may change put back to what it was."""
    settled = {**new}
    for key in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        settled[key] = old.get(key)
    for key in ("containers", "initContainers"):
        pairs = zip(new.get(key) or (), old.get(key) or (), strict=True)
        settled[key] = [{**(now or {}), "image": (was or {}).get("image")} for now, was in pairs]
    grace = old.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and new.get("terminationGracePeriodSeconds") == 1:
        settled["terminationGracePeriodSeconds"] = grace
    if old.get("schedulingGates"):
        settled["nodeSelector"] = old.get("nodeSelector")
        affinity = {**(new.get("affinity") or {})}
        affinity["nodeAffinity"] = (old.get("affinity") or {}).get("nodeAffinity")
        settled["affinity"] = affinity
    return settled


def _essence(value: Any) -> Any:
    """Without what says nothing: nulls, empty texts and collections, zeroes that are the same as none."""
    if isinstance(value, dict):
        pairs = ((key, _essence(item)) for key, item in value.items())
        return {
            key: item
            for key, item in pairs
            if item is not None and item not in ("", [], {}) and (item or key not in _ZERO_IS_NONE)
        }
    if isinstance(value, list):
        return [_essence(item) for item in value]
    return value


def differences(path: str, new: Any, old: Any) -> list[str]:
    """One line per changed path, `  spec.hostname: "a" -> "b"`; `<unset>` where one side has nothing."""
    if new == old:
        return []
    if isinstance(new, dict) and isinstance(old, dict):
        keys = dict.fromkeys((*old, *new))
        return [line for key in keys for line in differences(f"{path}.{key}", new.get(key), old.get(key))]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = enumerate(zip(new, old, strict=True))
        return [line for index, (now, was) in pairs for line in differences(f"{path}[{index}]", now, was)]
    shown = ("<unset>" if value is None else show(value) for value in (old, new))
    return [f"  {path}: {' -> '.join(shown)}"]


# --- status -------------------------------------------------------------------------------------------------

SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")


def update_status(new_pod: Obj, old_pod: Obj) -> Errors:
    new, old = new_pod.get("status") or {}, old_pod.get("status") or {}
    for index, condition in dicts(new, "conditions"):
        kind = condition.get("type") or ""
        if kind not in SYSTEM_CONDITIONS:
            yield from form(f"metadata.conditions[{index}].Type", kind, names.qualified_name)
    spec, before = new_pod.get("spec") or {}, old_pod.get("spec") or {}
    if spec.get("nodeName") != before.get("nodeName"):
        yield forbidden_value("status.nodeName", "may not be changed directly")
    nominated = new.get("nominatedNodeName")
    if nominated and nominated != old.get("nominatedNodeName"):
        yield from form("status.nominatedNodeName", nominated, names.dns_subdomain)
    if new.get("qosClass"):
        yield from unchanged("status.qosClass", new["qosClass"], old.get("qosClass"))
    yield from _container_states(new, old, before)
    yield from _addresses("status.podIPs", new.get("podIPs"))
    yield from _addresses("status.hostIPs", new.get("hostIPs"))


def _container_states(new: Obj, old: Obj, spec: Obj) -> Errors:
    """A container that has ended for good does not come back."""
    lists = (
        ("containerStatuses", "containers", spec.get("restartPolicy")),
        ("initContainerStatuses", "initContainers", spec.get("restartPolicy")),
        ("ephemeralContainerStatuses", "ephemeralContainers", "Never"),
    )
    for key, listed, policy in lists:
        now = {entry.get("name"): entry for _, entry in dicts(new, key)}
        containers = {container.get("name"): container for _, container in dicts(spec, listed)}
        for index, was in dicts(old, key):
            ended = (was.get("state") or {}).get("terminated")
            container = containers.get(was.get("name")) or {}
            if ended is None or is_restarted(container, policy or "Always", ended.get("exitCode") or 0):
                continue
            after = now.get(was.get("name"))
            if after is not None and (after.get("state") or {}).get("terminated") is None:
                sentence = "may not be transitioned to non-terminated state"
                yield forbidden_value(f"status.{key}[{index}].state", sentence)


def _addresses(path: str, entries: list[Obj] | None) -> Errors:
    texts = [(entry or {}).get("ip") or "" for entry in entries or ()]
    for index, text in enumerate(texts):
        yield from form(f"{path}[{index}]", text, names.ip)
        if text in texts[:index]:
            yield duplicate(f"{path}[{index}]", (entries or [])[index])
    if len(texts) > 1 and sorted(":" in text for text in texts) != [False, True]:
        yield invalid_value(path, entries, "may specify no more than one IP for each IP family")


# --- ephemeral containers -----------------------------------------------------------------------------------


def update_ephemeral_containers(new: Obj, old: Obj) -> Errors:
    """What `kubectl debug` does through the subresource: containers come, none goes or changes."""
    if MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        yield forbidden_value("", "static pods do not support ephemeral containers")
        return
    yield from whole(new)
    now = {c.get("name"): c for _, c in dicts(new.get("spec"), "ephemeralContainers")}
    for _, was in dicts(old.get("spec"), "ephemeralContainers"):
        name = was.get("name")
        if name not in now:
            sentence = f'existing ephemeral containers "{name}" may not be removed\n'
            yield forbidden_value("spec.ephemeralContainers", sentence)
        elif changed := differences("", _essence(now[name]), _essence(was)):
            sentence = f'existing ephemeral containers "{name}" may not be changed'
            yield forbidden_value("spec.ephemeralContainers", "\n".join([sentence, *changed]))
