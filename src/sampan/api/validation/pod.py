"""Rules of Pods, of Pod templates, and of what may change in a Pod that exists."""

from __future__ import annotations

from typing import Any

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden_value, invalid_value, required, show
from sampan.api.objects import Obj
from sampan.api.validation import containers, labels, resources, scheduling, security, volumes
from sampan.api.validation.check import (
    Errors,
    between,
    complain,
    dicts,
    form,
    one_of,
    one_of_if_set,
    unchanged,
)

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
MAX_INT32 = 2**31 - 1
MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_LENGTH = 3, 32, 2048
MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

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


# --- new Pods and templates ---------------------------------------------------------------------------------


def create(pod: Obj) -> Errors:
    spec = pod.get("spec") or {}
    yield from _whole(pod)
    if spec.get("ephemeralContainers"):
        yield forbidden_value("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield forbidden_value("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def _whole(pod: Obj) -> Errors:
    spec = pod.get("spec") or {}
    yield from _annotations(pod)
    yield from pod_spec("spec", spec, of_pod=True)
    if not spec.get("serviceAccountName"):
        yield from _no_tokens(spec)
    for key in ("containers", "initContainers"):
        for index, container in dicts(spec, key):
            yield from containers.trimmed_image(f"spec.{key}[{index}]", container)


def _annotations(pod: Obj) -> Errors:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    if MIRROR in annotations and not (pod.get("spec") or {}).get("nodeName"):
        sentence = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid_value(f"metadata.annotations[{MIRROR}]", annotations[MIRROR], sentence)
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        yield invalid_value(f"metadata.annotations[{DELETION_COST}]", cost, "must be a 32bit integer")


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-").removeprefix("+")
    return digits.isascii() and digits.isdigit() and len(digits) <= 10 and abs(int(digits)) <= MAX_INT32


def _no_tokens(spec: Obj) -> Errors:
    for index, volume in dicts(spec, "volumes"):
        for place, source in dicts(volume.get("projected"), "sources"):
            if source.get("serviceAccountToken") is not None:
                at = f"spec.volumes[{index}].projected.sources[{place}].serviceAccountToken"
                yield forbidden_value(at, "must not be specified when serviceAccountName is not set")


def template(path: str, obj: Obj) -> Errors:
    """A `PodTemplateSpec`."""
    metadata = obj.get("metadata") or {}
    yield from labels.label_map(f"{path}.labels", metadata.get("labels"))
    yield from labels.annotation_map(f"{path}.annotations", metadata.get("annotations"))
    spec = obj.get("spec") or {}
    yield from pod_spec(f"{path}.spec", spec)
    if spec.get("ephemeralContainers"):
        sentence = "ephemeral containers not allowed in pod template"
        yield forbidden_value(f"{path}.spec.ephemeralContainers", sentence)


def pod_template(obj: Obj) -> Errors:
    """Kind PodTemplate."""
    return template("template", obj.get("template") or {})


def pod_template_update(new: Obj, old: Obj) -> Errors:
    return pod_template(new)


def pod_spec(path: str, spec: Obj, *, of_pod: bool = False) -> Errors:
    """`of_pod`: in a Pod a host port must be the container port by now, in a template it may be open."""
    if spec.get("terminationGracePeriodSeconds") is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    yield from volumes.volumes(f"{path}.volumes", spec)
    yield from _resource_claims(f"{path}.resourceClaims", spec)
    yield from containers.all_lists(path, spec)
    yield from resources.pod(f"{path}.resources", spec.get("resources"))
    yield from _host_network(f"{path}.containers", spec, of_pod)
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    yield from labels.label_map(f"{path}.nodeSelector", spec.get("nodeSelector"))
    yield from security.pod(f"{path}.securityContext", spec)
    yield from scheduling.affinity(f"{path}.affinity", spec.get("affinity"))
    yield from _dns_config(f"{path}.dnsConfig", spec)
    for index, gate in dicts(spec, "readinessGates"):
        at = f"{path}.readinessGates[{index}].conditionType"
        yield from form(at, gate.get("conditionType") or "", names.qualified_name)
    yield from scheduling.gates(f"{path}.schedulingGates", spec)
    yield from scheduling.spread(f"{path}.topologySpreadConstraints", spec)
    yield from security.host_users(path, spec)
    yield from _names(path, spec)
    yield from between(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, MAX_INT32)
    yield from scheduling.tolerations(f"{path}.tolerations", spec)
    yield from _host_aliases(f"{path}.hostAliases", spec)
    choices = ("PreemptLowerPriority", "Never")
    yield from one_of_if_set(f"{path}.preemptionPolicy", spec.get("preemptionPolicy"), choices)
    yield from resources.overhead(f"{path}.overhead", spec.get("overhead"))
    system = spec.get("os")
    if system is not None:
        yield from one_of(f"{path}.os.name", system.get("name"), ("linux", "windows"))


# field -> form of the names a Pod spec refers to or takes
_NAMES = {
    "serviceAccountName": names.dns_subdomain,
    "nodeName": names.dns_subdomain,
    "hostname": names.dns_label,
    "subdomain": names.dns_label,
    "priorityClassName": names.dns_subdomain,
    "runtimeClassName": names.dns_subdomain,
}


def _names(path: str, spec: Obj) -> Errors:
    for field, check in _NAMES.items():
        if spec.get(field):
            yield from form(f"{path}.{field}", spec[field], check)


def _host_network(path: str, spec: Obj, of_pod: bool) -> Errors:
    if not spec.get("hostNetwork"):
        return
    for index, container in dicts(spec, "containers"):
        for place, port in dicts(container, "ports"):
            host_port = port.get("hostPort") or 0
            if (of_pod or host_port) and host_port != (port.get("containerPort") or 0):
                sentence = "must match `containerPort` when `hostNetwork` is true"
                yield invalid_value(f"{path}[{index}].ports[{place}].hostPort", host_port, sentence)


def _dns_config(path: str, spec: Obj) -> Errors:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            sentence = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.nameservers", sentence)
            return
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > MAX_NAMESERVERS:
        sentence = f"must not have more than {MAX_NAMESERVERS} nameservers"
        yield invalid_value(f"{path}.nameservers", servers, sentence)
    for index, server in enumerate(servers):
        yield from form(f"{path}.nameservers[{index}]", server or "", names.ip)
    if len(searches) > MAX_SEARCHES:
        sentence = f"must not have more than {MAX_SEARCHES} search paths"
        yield invalid_value(f"{path}.searches", searches, sentence)
    if len(" ".join(map(str, searches))) > MAX_SEARCH_LENGTH:
        sentence = (
            f"must not have more than {MAX_SEARCH_LENGTH} characters (including spaces) in the search list"
        )
        yield invalid_value(f"{path}.searches", searches, sentence)
    for index, search in enumerate(searches):
        # Since 1.34 a lone dot and underscores are welcome.
        if search != ".":
            plain = (search or "").removesuffix(".").replace("_", "a")
            yield from complain(f"{path}.searches[{index}]", search, names.dns_subdomain(plain))
    for index, option in dicts(config, "options"):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


def _host_aliases(path: str, spec: Obj) -> Errors:
    for index, alias in dicts(spec, "hostAliases"):
        yield from form(f"{path}[{index}].ip", alias.get("ip") or "", names.ip)
        for place, hostname in enumerate(alias.get("hostnames") or ()):
            yield from form(f"{path}[{index}].hostnames[{place}]", hostname or "", names.dns_subdomain)


def _resource_claims(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, claim in dicts(spec, "resourceClaims"):
        at, name = f"{path}[{index}]", claim.get("name")
        sources = ("resourceClaimName", "resourceClaimTemplateName")
        given = [source for source in sources if claim.get(source) is not None]
        if not name:
            yield required(f"{at}.name")
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        else:
            yield from form(f"{at}.name", name, names.dns_label)
        seen.add(name)
        if len(given) > 1:
            sentence = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield invalid_value(at, claim, sentence)
        if not given:
            sentence = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield invalid_value(at, claim, sentence)
        for source in given:
            yield from form(f"{at}.{source}", claim[source], names.dns_subdomain)


# --- changes ------------------------------------------------------------------------------------------------


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
    yield from _whole(new)


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
    policy = spec.get("restartPolicy")
    sidecars = {c.get("name") for _, c in dicts(spec, "initContainers") if c.get("restartPolicy") == "Always"}
    lists = (
        ("containerStatuses", policy),
        ("initContainerStatuses", policy),
        ("ephemeralContainerStatuses", "Never"),
    )
    for key, effective in lists:
        if effective == "Always":
            continue
        now = {entry.get("name"): entry for _, entry in dicts(new, key)}
        for index, was in dicts(old, key):
            ended = (was.get("state") or {}).get("terminated")
            if ended is None or was.get("name") in sidecars:
                continue
            if ended.get("exitCode") and effective == "OnFailure":
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


# --- binding ------------------------------------------------------------------------------------------------


def binding(obj: Obj) -> Errors:
    """A `Binding`, by which a scheduler gives a Pod its node."""
    target = obj.get("target") or {}
    if target.get("kind"):
        yield from one_of("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        yield required("target.name")


# --- ephemeral containers -----------------------------------------------------------------------------------


def update_ephemeral_containers(new: Obj, old: Obj) -> Errors:
    """What `kubectl debug` does through the subresource: containers come, none goes or changes."""
    if MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        yield forbidden_value("", "static pods do not support ephemeral containers")
        return
    yield from _whole(new)
    now = {c.get("name"): c for _, c in dicts(new.get("spec"), "ephemeralContainers")}
    for _, was in dicts(old.get("spec"), "ephemeralContainers"):
        name = was.get("name")
        if name not in now:
            sentence = f'existing ephemeral containers "{name}" may not be removed\n'
            yield forbidden_value("spec.ephemeralContainers", sentence)
        elif changed := differences("", _essence(now[name]), _essence(was)):
            sentence = f'existing ephemeral containers "{name}" may not be changed'
            yield forbidden_value("spec.ephemeralContainers", "\n".join([sentence, *changed]))
