"""Rules of what steers a Pod to a node: affinity, tolerations, spreading, gates."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation import labels
from sampan.api.validation.check import POSITIVE, Errors, dicts, form, one_of_if_set, unsupported

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_BAD_OPERATOR = "not a valid selector operator"


def tolerations(path: str, spec: Obj) -> Errors:
    for index, toleration in dicts(spec, "tolerations"):
        yield from _toleration(f"{path}[{index}]", toleration)


def _toleration(path: str, toleration: Obj) -> Errors:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    if key:
        yield from form(f"{path}.key", key, names.qualified_name)
    elif operator != "Exists":
        sentence = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid_value(f"{path}.operator", operator, sentence)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        sentence = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid_value(f"{path}.effect", effect, sentence)
    if operator in ("", "Equal"):
        if complaints := names.label_value(value):
            yield invalid_value(f"{path}.operator", value, ";".join(complaints))
    elif operator == "Exists":
        if value:
            sentence = "value must be empty when `operator` is 'Exists'"
            yield invalid_value(f"{path}.operator", value, sentence)
    else:
        yield unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    yield from one_of_if_set(f"{path}.effect", effect, EFFECTS)


def only_added_tolerations(path: str, new: Obj, old: Obj) -> Errors:
    def bare(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds" and v}

    kept = [bare(toleration) for _, toleration in dicts(new, "tolerations")]
    if any(bare(toleration) not in kept for _, toleration in dicts(old, "tolerations")):
        sentence = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden_value(path, sentence)
        return
    yield from tolerations(path, new)


def gates(path: str, spec: Obj) -> Errors:
    seen = set()
    for index, gate in dicts(spec, "schedulingGates"):
        at, name = f"{path}[{index}]", gate.get("name") or ""
        yield from form(at, name, names.qualified_name)
        if name in seen:
            yield duplicate(at, name)
        seen.add(name)


def only_deleted_gates(path: str, new: Obj, old: Obj) -> Errors:
    had = {gate.get("name") for _, gate in dicts(old, "schedulingGates")}
    for index, gate in dicts(new, "schedulingGates"):
        if gate.get("name") not in had:
            sentence = f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'"
            yield forbidden_value(f"{path}[{index}].name", sentence)


# --- affinity -----------------------------------------------------------------------------------------------


def affinity(path: str, obj: Obj | None) -> Errors:
    obj = obj or {}
    if obj.get("nodeAffinity"):
        yield from _node_affinity(f"{path}.nodeAffinity", obj["nodeAffinity"])
    for kind in ("podAffinity", "podAntiAffinity"):
        for index, term in dicts(obj.get(kind), REQUIRED):
            yield from _pod_term(f"{path}.{kind}.{REQUIRED}[{index}]", term)
        for index, term in dicts(obj.get(kind), PREFERRED):
            at = f"{path}.{kind}.{PREFERRED}[{index}]"
            yield from _weight(at, term)
            yield from _pod_term(f"{at}.podAffinityTerm", term.get("podAffinityTerm") or {})


def _weight(path: str, term: Obj) -> Errors:
    if not 1 <= (term.get("weight") or 0) <= 100:
        yield invalid_value(f"{path}.weight", term.get("weight") or 0, "must be in the range 1-100")


def _node_affinity(path: str, obj: Obj) -> Errors:
    if obj.get(REQUIRED) is not None:
        yield from node_selector(f"{path}.{REQUIRED}", obj[REQUIRED])
    for index, term in dicts(obj, PREFERRED):
        at = f"{path}.{PREFERRED}[{index}]"
        yield from _weight(at, term)
        # Label values are left alone here: a preference that never matches does no harm.
        yield from _node_term(f"{at}.preference", term.get("preference") or {}, check_values=False)


def node_selector(path: str, obj: Obj) -> Errors:
    if not obj.get("nodeSelectorTerms"):
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in dicts(obj, "nodeSelectorTerms"):
        yield from _node_term(f"{path}.nodeSelectorTerms[{index}]", term, check_values=True)


def _node_term(path: str, term: Obj, *, check_values: bool) -> Errors:
    for index, requirement in dicts(term, "matchExpressions"):
        at = f"{path}.matchExpressions[{index}]"
        yield from _node_requirement(at, requirement)
        for place, value in enumerate((requirement.get("values") or ()) if check_values else ()):
            yield from form(f"{at}.values[{place}]", value or "", names.label_value)
    for index, requirement in dicts(term, "matchFields"):
        yield from _node_field(f"{path}.matchFields[{index}]", requirement)


def _node_requirement(path: str, requirement: Obj) -> Errors:
    operator, values = requirement.get("operator") or "", requirement.get("values") or ()
    at = f"{path}.values"
    if operator in ("In", "NotIn"):
        if not values:
            yield required(at, "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden_value(at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(at, "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid_value(f"{path}.operator", operator, _BAD_OPERATOR)
    yield from form(f"{path}.key", requirement.get("key") or "", names.qualified_name)


def _node_field(path: str, requirement: Obj) -> Errors:
    operator, values = requirement.get("operator") or "", requirement.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield invalid_value(f"{path}.operator", operator, _BAD_OPERATOR)
    elif len(values) != 1:
        sentence = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", sentence)
    if requirement.get("key") != "metadata.name":
        yield invalid_value(f"{path}.key", requirement.get("key", ""), "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from form(f"{path}.values[{index}]", value or "", names.dns_subdomain)


def _pod_term(path: str, term: Obj) -> Errors:
    yield from labels.selector(f"{path}.labelSelector", term.get("labelSelector"))
    yield from labels.selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for namespace in term.get("namespaces") or ():
        yield from form(f"{path}.namespace", namespace or "", names.dns_label)
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        yield from _label_keys(f"{path}.{field}", term, field)
    if not term.get("topologyKey"):
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from form(f"{path}.topologyKey", term.get("topologyKey") or "", names.qualified_name)


def _label_keys(path: str, holder: Obj, field: str) -> Errors:
    keys = holder.get(field) or ()
    if keys and holder.get("labelSelector") is None:
        yield forbidden_value(path, "must not be specified when labelSelector is not set")
        return
    for index, key in enumerate(keys):
        yield from form(f"{path}[{index}]", key or "", names.qualified_name)


# --- spreading ----------------------------------------------------------------------------------------------


def spread(path: str, spec: Obj) -> Errors:
    """`topologySpreadConstraints`; a key and what to do when it cannot be kept make one constraint."""
    constraints = dicts(spec, "topologySpreadConstraints")
    kinds = [(c.get("topologyKey") or "", c.get("whenUnsatisfiable") or "") for _, c in constraints]
    for index, constraint in constraints:
        at = f"{path}[{index}]"
        key, action = kinds[index]
        if (constraint.get("maxSkew") or 0) <= 0:
            yield invalid_value(f"{at}.maxSkew", constraint.get("maxSkew") or 0, POSITIVE)
        if not key:
            yield required(f"{at}.topologyKey", "can not be empty")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield unsupported(f"{at}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if kinds[index] in kinds[index + 1 :]:
            yield duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        yield from _min_domains(f"{at}.minDomains", constraint.get("minDomains"), action)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            yield from one_of_if_set(f"{at}.{field}", constraint.get(field), ("Honor", "Ignore"))
        yield from _label_keys(f"{at}.matchLabelKeys", constraint, "matchLabelKeys")
        yield from labels.selector(f"{at}.labelSelector", constraint.get("labelSelector"))


def _min_domains(path: str, count: int | None, action: str) -> Errors:
    if count is None:
        return
    if count <= 0:
        yield invalid_value(path, count, POSITIVE)
    if action != "DoNotSchedule":
        sentence = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield invalid_value(path, count, sentence)
