"""Rules of what bounds a namespace: ResourceQuota, LimitRange."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api import names
from sampan.api.errors import duplicate, forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.quantity import Quantity, quantity
from sampan.api.quota import CLASS_MARK, SHORT
from sampan.api.validation import resources
from sampan.api.validation.check import Errors, amount, complain, dicts, form, one_of

# --- ResourceQuota ------------------------------------------------------------------------------------------

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_STANDARD = frozenset(
    [
        *SHORT,
        "services.nodeports",
        "services.loadbalancers",
        *_COMPUTE,
        *(f"limits.{name}" for name in _COMPUTE),
        *(f"requests.{name}" for name in (*_COMPUTE, "storage")),
    ]
)
_OF_PODS = frozenset(
    ("pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
)
_SCOPES: Mapping[str, frozenset[str]] = {
    "Terminating": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "BestEffort": frozenset(("pods",)),
    "NotBestEffort": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "CrossNamespacePodAffinity": _OF_PODS,
}
"""Scope -> the standard resources that may be counted within it."""
_OPPOSED = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_CHOOSABLE = ("PriorityClass", "VolumeAttributesClass")
"""Scopes that are picked by values; of the others there is only one."""


def resource_quota(obj: Obj) -> Errors:
    spec = obj.get("spec") or {}
    yield from _hard("spec.hard", spec.get("hard"))
    yield from _scopes(spec)
    yield from _scope_selector("spec.scopeSelector.matchExpressions", spec)


def resource_quota_update(new: Obj, old: Obj) -> Errors:
    yield from resource_quota(new)
    scopes = ((each.get("spec") or {}).get("scopes") or [] for each in (new, old))
    now, was = (sorted(each) for each in scopes)
    if now != was:
        yield invalid_value("spec.scopes", now, "field is immutable")


def resource_quota_status(new: Obj, old: Obj) -> Errors:
    status = new.get("status") or {}
    yield from _hard("status.hard", status.get("hard"))
    yield from _hard("status.used", status.get("used"))


def _hard(path: str, hard: Obj | None) -> Errors:
    for name, text in (hard or {}).items():
        at = f"{path}[{name}]"
        complaints = names.qualified_name(name)
        yield from complain(at, name, complaints)
        if not complaints and "/" not in name and name not in _STANDARD and "hugepages-" not in name:
            yield invalid_value(at, name, "must be a standard resource type or fully qualified")
            yield invalid_value(at, name, "must be a standard resource for quota")
        yield from amount(at, text)


def _scopes(spec: Obj) -> Errors:
    scopes: list[str] = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            yield invalid_value("spec.scopes", scopes, "unsupported scope")
            continue
        for name in spec.get("hard") or {}:
            if (name in _STANDARD or CLASS_MARK in name) and name not in _SCOPES[scope]:
                yield invalid_value("spec.scopes", scopes, "unsupported scope applied to resource")
    for pair in _OPPOSED:
        if set(pair) <= set(scopes):
            yield invalid_value("spec.scopes", scopes, "conflicting scopes")


def _scope_selector(path: str, spec: Obj) -> Errors:
    for index, want in dicts(spec.get("scopeSelector"), "matchExpressions"):
        at, scope = f"{path}[{index}]", want.get("scopeName") or ""
        operator, values = want.get("operator") or "", want.get("values") or []
        if not scope:
            yield required(f"{at}.scopeName")
        elif scope not in _SCOPES and scope not in _CHOOSABLE:
            yield invalid_value(f"{at}.scopeName", scope, "unsupported scope")
        elif scope not in _CHOOSABLE and operator != "Exists":
            listed = "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            listed += "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            listed += "ResourceQuotaScopeCrossNamespacePodAffinity"
            yield invalid_value(f"{at}.operator", operator, f"must be 'Exist' when scope is any of {listed}")
        if operator in ("In", "NotIn"):
            if not values:
                sentence = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield required(f"{at}.values", sentence)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                sentence = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield invalid_value(f"{at}.values", values, sentence)
        else:
            yield invalid_value(f"{at}.operator", operator, "not a valid selector operator")


# --- LimitRange ---------------------------------------------------------------------------------------------

_ORDERS: tuple[tuple[str, str, str], ...] = (
    ("min", "max", "min value {} is greater than max value {}"),
    ("min", "default", "min value {} is greater than default value {}"),
    ("min", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "default request value {} is greater than default limit value {}"),
    ("default", "max", "default value {} is greater than max value {}"),
)
"""(what must not be more, than what, the complaint); each is said at the first."""
_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_ONE = Quantity(10**9)


def limit_range(obj: Obj) -> Errors:
    seen = set()
    for index, limit in dicts(obj.get("spec"), "limits"):
        at, kind = f"spec.limits[{index}]", limit.get("type") or ""
        yield from one_of_or_qualified(f"{at}.type", kind)
        if kind in seen:
            yield duplicate(f"{at}.type", kind)
        seen.add(kind)
        yield from _amounts(at, kind, limit)
        for field in ("default", "defaultRequest"):
            if kind == "Pod" and limit.get(field):
                yield forbidden_value(f"{at}.{field}", "may not be specified when `type` is 'Pod'")
        sized = any("storage" in (limit.get(field) or {}) for field in ("min", "max"))
        if kind == "PersistentVolumeClaim" and not sized:
            sentence = "either minimum or maximum storage value is required, but neither was provided"
            yield required(f"{at}.limits", sentence)
        given = {field: _read(limit.get(field)) for field in _FIELDS}
        yield from _orders(at, given)
        yield from _ratios(at, given)


def limit_range_update(new: Obj, old: Obj) -> Errors:
    return limit_range(new)


def one_of_or_qualified(path: str, kind: str) -> Errors:
    if "/" in kind:
        return form(path, kind, names.qualified_name)
    return one_of(path, kind, ("Container", "PersistentVolumeClaim", "Pod"))


def _amounts(path: str, kind: str, limit: Obj) -> Errors:
    for field in _FIELDS:
        for name, text in (limit.get(field) or {}).items():
            at = f"{path}.{field}[{name}]"
            if kind in ("Container", "Pod"):
                yield from resources.container_resource(at, name)
            yield from amount(at, text)


def _read(listed: Obj | None) -> dict[str, Quantity]:
    """Without those that are no quantities: that is said already."""
    found = {}
    for name, text in (listed or {}).items():
        try:
            found[name] = quantity(text)
        except ValueError:
            continue
    return found


def _orders(path: str, given: Mapping[str, Mapping[str, Quantity]]) -> Errors:
    for low, high, sentence in _ORDERS:
        for name, less in given[low].items():
            more = given[high].get(name)
            if more is not None and less > more:
                yield invalid_value(f"{path}.{low}[{name}]", str(less), sentence.format(less, more))
    for name, asked in given["defaultRequest"].items():
        limit = given["default"].get(name)
        if limit is not None and limit != asked and not resources.overcommits(name):
            sentence = f"default value {limit} must equal to defaultRequest value {asked} in {name}"
            yield invalid_value(f"{path}.defaultRequest[{name}]", str(asked), sentence)


def _ratios(path: str, given: Mapping[str, Mapping[str, Quantity]]) -> Errors:
    for name, ratio in given["maxLimitRequestRatio"].items():
        at = f"{path}.maxLimitRequestRatio[{name}]"
        if ratio < _ONE:
            yield invalid_value(at, str(ratio), f"ratio {ratio} is less than 1")
        least, most = given["min"].get(name), given["max"].get(name)
        if least is None or most is None or not least.nano:
            continue
        widest = most.nano / least.nano
        if ratio.nano > widest * 10**9:
            yield invalid_value(at, str(ratio), f"ratio {ratio} is greater than max/min = {widest:.6f}")
