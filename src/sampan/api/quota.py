"""What a ResourceQuota counts: of which objects, how much, and how much in all. Pure.

Source: concepts/policy/resource-quotas. The API server holds creations to it, a controller shows it; both
keep a `Tally` a quota, which follows the objects one change at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from sampan.api import podspec, resources
from sampan.api.objects import Obj, namespace_of
from sampan.api.quantity import Quantity, Suffixes, quantity
from sampan.api.resources import PODS, SERVICES, Resource

CLAIMS = resources.resource("", "v1", "persistentvolumeclaims")
SHORT = frozenset(
    (
        "pods",
        "services",
        "secrets",
        "configmaps",
        "resourcequotas",
        "replicationcontrollers",
        "persistentvolumeclaims",
    )
)
"""Core resources that are counted by their bare name as well as by `count/NAME`."""
COMPUTE = ("cpu", "memory", "ephemeral-storage")
DEMANDED = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
"""What each container must name where a quota holds it."""
CLASS_MARK = ".storageclass.storage.k8s.io/"
_ONE = Quantity(10**9)

Amounts = Mapping[str, Quantity]


def usage(resource: Resource, obj: Obj) -> dict[str, Quantity]:
    """How much of which quota resources one object takes."""
    found = {f"count/{resource.qualified}": _ONE}
    measure = _MEASURES.get(resource)
    if measure is not None:
        found |= measure(obj)
    elif not resource.group and resource.plural in SHORT:
        found[resource.plural] = _ONE
    return found


def _pod(pod: Obj) -> dict[str, Quantity]:
    """Nothing of one that has ended: it is only counted as an object."""
    if podspec.is_terminal(pod):
        return {}
    return {"pods": _ONE} | _compute(podspec.requests(pod), podspec.limits(pod))


def _compute(requests: Mapping[str, int], limits: Mapping[str, int]) -> dict[str, Quantity]:
    found = {}
    for name, count in requests.items():
        amount = podspec.as_quantity(name, count)
        if name in COMPUTE or name.startswith("hugepages-"):
            found[name] = amount
        found[f"requests.{name}"] = amount
    return found | {
        f"limits.{name}": podspec.as_quantity(name, limits[name]) for name in COMPUTE if name in limits
    }


def _service(service: Obj) -> dict[str, Quantity]:
    spec = service.get("spec") or {}
    found = {"services": _ONE}
    ports = spec.get("ports") or ()
    kind = spec.get("type")
    if kind == "LoadBalancer":
        found["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = [port for port in ports if port.get("nodePort")]
    if kind in ("NodePort", "LoadBalancer"):
        found["services.nodeports"] = Quantity(len(ports) * 10**9)
    return found


def _claim(claim: Obj) -> dict[str, Quantity]:
    spec = claim.get("spec") or {}
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    granted = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    found = {"persistentvolumeclaims": _ONE}
    if asked is not None:
        size = quantity(asked)
        # While it grows or a growth was taken back, the larger of the two is in use.
        found["requests.storage"] = max(size, quantity(granted)) if granted is not None else size
    name = spec.get("storageClassName") or (claim["metadata"].get("annotations") or {}).get(
        "volume.beta.kubernetes.io/storage-class"
    )
    if name:
        found |= {f"{name}{CLASS_MARK}{key}": amount for key, amount in list(found.items())}
    return found


_MEASURES: Mapping[Resource, Callable[[Obj], dict[str, Quantity]]] = {
    PODS: _pod,
    SERVICES: _service,
    CLAIMS: _claim,
}


# --- scopes -------------------------------------------------------------------------------------------------


def in_scope(quota_spec: Obj, resource: Resource, obj: Obj) -> bool:
    """Scopes pick Pods: with one, a quota sees nothing else."""
    wanted = [{"scopeName": scope, "operator": "Exists"} for scope in quota_spec.get("scopes") or ()]
    wanted += (quota_spec.get("scopeSelector") or {}).get("matchExpressions") or []
    if wanted and resource is not PODS:
        return False
    return all(_SCOPES[want["scopeName"]](obj, want) for want in wanted if want.get("scopeName") in _SCOPES)


def _is_terminating(pod: Obj, want: Obj) -> bool:
    return pod["spec"].get("activeDeadlineSeconds") is not None


def _is_best_effort(pod: Obj, want: Obj) -> bool:
    return podspec.qos_class(pod) == "BestEffort"


def _has_priority_class(pod: Obj, want: Obj) -> bool:
    name = pod["spec"].get("priorityClassName") or ""
    values = want.get("values") or ()
    return {
        "Exists": bool(name),
        "DoesNotExist": not name,
        "In": name in values,
        "NotIn": name not in values,
    }.get(want.get("operator", ""), False)


def _minds_other_namespaces(pod: Obj, want: Obj) -> bool:
    affinity = pod["spec"].get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        soft = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [term.get("podAffinityTerm") or {} for term in soft]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


_SCOPES: Mapping[str, Callable[[Obj, Obj], bool]] = {
    "Terminating": _is_terminating,
    "NotTerminating": lambda pod, want: not _is_terminating(pod, want),
    "BestEffort": _is_best_effort,
    "NotBestEffort": lambda pod, want: not _is_best_effort(pod, want),
    "PriorityClass": _has_priority_class,
    "CrossNamespacePodAffinity": _minds_other_namespaces,
}


# --- one quota ----------------------------------------------------------------------------------------------


class Tally:
    """How much of a quota is used by the objects of its namespace that `count` was told of."""

    def __init__(self, quota: Obj) -> None:
        self.namespace = namespace_of(quota)
        self.spec: Obj = quota.get("spec") or {}
        self.hard: dict[str, Quantity] = {
            name: quantity(text) for name, text in (self.spec.get("hard") or {}).items()
        }
        self.used: dict[str, Quantity] = {
            name: Quantity(0, Suffixes.BINARY if _is_bytes(name) else Suffixes.DECIMAL) for name in self.hard
        }
        self.resources = frozenset(filter(None, map(counted, self.hard)))
        # A kind that is served in several versions is counted once, whichever it comes in.
        self._kinds = frozenset((resource.group, resource.plural) for resource in self.resources)

    def takes(self, resource: Resource, obj: Obj | None) -> dict[str, Quantity]:
        """What the object takes of this quota."""
        if obj is None or (resource.group, resource.plural) not in self._kinds:
            return {}
        if not in_scope(self.spec, resource, obj):
            return {}
        return {name: amount for name, amount in usage(resource, obj).items() if name in self.hard}

    def count(self, resource: Resource, old: Obj | None, new: Obj | None) -> bool:
        """An object came (`old` None), changed or went (`new` None). Says whether that changes anything."""
        before, after = self.takes(resource, old), self.takes(resource, new)
        if before == after:
            return False
        for name, amount in after.items():
            self.used[name] = _sum(self.used[name], amount)
        for name, amount in before.items():
            self.used[name] = Quantity(self.used[name].nano - amount.nano, self.used[name].suffixes)
        return True

    def lacking(self, pod: Obj) -> str:
        """Which demands of the quota the Pod's containers do not name: `limits.cpu for: a,b`; "" if none."""
        demanded = DEMANDED & self.hard.keys()
        if not demanded or not in_scope(self.spec, PODS, pod):
            return ""
        of_pod = _named(pod["spec"])
        missing: dict[str, set[str]] = {}
        for key in ("initContainers", "containers"):
            for container in pod["spec"].get(key) or ():
                for name in demanded - _named(container) - of_pod:
                    missing.setdefault(name, set()).add(container["name"])
        return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


def _named(holder: Obj) -> set[str]:
    given = holder.get("resources") or {}
    requests, limits = given.get("requests") or {}, given.get("limits") or {}
    return {*requests, *(f"requests.{name}" for name in requests), *(f"limits.{name}" for name in limits)}


def _sum(left: Quantity, right: Quantity) -> Quantity:
    """Written as what comes in, where nothing was there."""
    return left + right if left.nano else Quantity(right.nano, right.suffixes)


def _is_bytes(name: str) -> bool:
    return name.rpartition(".")[2] in ("memory", "ephemeral-storage", "storage")


@cache
def counted(name: str) -> Resource | None:
    """The resource whose objects a quota resource is about; None for one that nothing here is."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return _preferred(group, plural)
    if name.startswith("services."):
        return SERVICES
    if name in SHORT:
        return _preferred("", name)
    if name == "requests.storage" or CLASS_MARK in name:
        return CLAIMS
    return PODS


def _preferred(group: str, plural: str) -> Resource | None:
    rows = (row for row in resources.all_resources() if row.served and row.namespaced)
    return next((row for row in rows if (row.group, row.plural) == (group, plural)), None)


def pretty(amounts: Amounts) -> str:
    """`cpu=1,memory=1Gi`"""
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))


def texts(amounts: Amounts) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}


def tallied(quota: Obj, objects: Callable[[Resource], Iterable[Obj]]) -> Tally:
    """A tally of all there is; `objects` gives those of the quota's namespace."""
    tally = Tally(quota)
    for resource in tally.resources:
        for obj in objects(resource):
            tally.count(resource, None, obj)
    return tally
