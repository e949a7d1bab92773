"""Rules of what governs others: roles and their bindings, budgets, autoscalers."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import invalid_value, required
from sampan.api.objects import Obj
from sampan.api.validation import labels
from sampan.api.validation.check import Errors, dicts, form, needed, one_of_if_set, unsupported
from sampan.api.validation.workload import at_most_everything, int_or_percent

RBAC = "rbac.authorization.k8s.io"


# --- RBAC ---------------------------------------------------------------------------------------------------


def role(obj: Obj) -> Errors:
    return _rules(obj, namespaced=True)


def role_update(new: Obj, old: Obj) -> Errors:
    return role(new)


def cluster_role(obj: Obj) -> Errors:
    yield from _rules(obj, namespaced=False)
    for index, selector in dicts(obj.get("aggregationRule"), "clusterRoleSelectors"):
        yield from labels.selector(f"aggregationRule.clusterRoleSelectors[{index}]", selector)


def cluster_role_update(new: Obj, old: Obj) -> Errors:
    return cluster_role(new)


def _rules(obj: Obj, *, namespaced: bool) -> Errors:
    for index, rule in dicts(obj, "rules"):
        at, urls = f"rules[{index}]", rule.get("nonResourceURLs")
        yield from needed(f"{at}.verbs", rule.get("verbs"), "verbs must contain at least one value")
        if urls and namespaced:
            sentence = "namespaced rules cannot apply to non-resource URLs"
            yield invalid_value(f"{at}.nonResourceURLs", urls, sentence)
        elif urls:
            if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
                sentence = "rules cannot apply to both regular resources and non-resource URLs"
                yield invalid_value(f"{at}.nonResourceURLs", urls, sentence)
        else:
            sentence = "resource rules must supply at least one api group"
            yield from needed(f"{at}.apiGroups", rule.get("apiGroups"), sentence)
            sentence = "resource rules must supply at least one resource"
            yield from needed(f"{at}.resources", rule.get("resources"), sentence)


def role_binding(obj: Obj) -> Errors:
    return _binding(obj, ("Role", "ClusterRole"), namespaced=True)


def cluster_role_binding(obj: Obj) -> Errors:
    return _binding(obj, ("ClusterRole",), namespaced=False)


def _binding(obj: Obj, kinds: Sequence[str], *, namespaced: bool) -> Errors:
    ref = obj.get("roleRef") or {}
    if ref.get("apiGroup") != RBAC:
        yield unsupported("roleRef.apiGroup", ref.get("apiGroup") or "", (RBAC,))
    if ref.get("kind") not in kinds:
        yield unsupported("roleRef.kind", ref.get("kind") or "", kinds)
    yield from needed("roleRef.name", ref.get("name"))
    for index, subject in dicts(obj, "subjects"):
        yield from _subject(f"subjects[{index}]", subject, namespaced=namespaced)


def _subject(path: str, subject: Obj, *, namespaced: bool) -> Errors:
    kind, group = subject.get("kind") or "", subject.get("apiGroup") or ""
    yield from needed(f"{path}.name", subject.get("name"))
    if kind == "ServiceAccount":
        if subject.get("name"):
            yield from form(f"{path}.name", subject["name"], names.dns_subdomain)
        if group:
            yield unsupported(f"{path}.apiGroup", group, ("",))
        if not namespaced:  # a RoleBinding may leave it out
            yield from needed(f"{path}.namespace", subject.get("namespace"))
    elif kind in ("User", "Group"):
        if group != RBAC:
            yield unsupported(f"{path}.apiGroup", group, (RBAC,))
    else:
        yield unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def role_binding_update(new: Obj, old: Obj) -> Errors:
    yield from role_binding(new)
    yield from _same_role(new, old)


def cluster_role_binding_update(new: Obj, old: Obj) -> Errors:
    yield from cluster_role_binding(new)
    yield from _same_role(new, old)


def _same_role(new: Obj, old: Obj) -> Errors:
    if new.get("roleRef") != old.get("roleRef"):
        yield invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef")


# --- PodDisruptionBudget ------------------------------------------------------------------------------------


def disruption_budget(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        yield invalid_value("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            yield from int_or_percent(f"spec.{field}", value)
            yield from at_most_everything(f"spec.{field}", value)
    yield from labels.selector("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    yield from one_of_if_set("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))


def disruption_budget_update(new: Obj, old: Obj) -> Errors:
    return disruption_budget(new)


# --- HorizontalPodAutoscaler --------------------------------------------------------------------------------


def autoscaler(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        yield invalid_value("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield invalid_value("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        yield invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    yield from needed("spec.scaleTargetRef.kind", target.get("kind"))
    yield from needed("spec.scaleTargetRef.name", target.get("name"))
    for index, metric in dicts(spec, "metrics"):
        at, kind = f"spec.metrics[{index}]", metric.get("type") or ""
        field = kind[:1].lower() + kind[1:]
        if not kind:
            yield required(f"{at}.type", "must specify a metric source type")
        elif field and metric.get(field) is None:
            sentence = "must populate information for the given metric source"
            yield required(f"{at}.{field}", sentence)


def autoscaler_update(new: Obj, old: Obj) -> Errors:
    return autoscaler(new)
