"""LimitRanger: what containers of a namespace get by default, and the bounds of what may be asked for.

Source: concepts/policy/limit-range; sentences are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sampan.api import podspec, resources
from sampan.api.objects import Obj, is_deleting
from sampan.api.quantity import Quantity, quantity
from sampan.api.resources import PODS
from sampan.apiserver.admission.plugin import CREATE, UPDATE, Plugin, denied
from sampan.apiserver.conversion import storage_prefix
from sampan.apiserver.registry.hooks import Call

LIMIT_RANGES = resources.resource("", "v1", "limitranges")
ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, Quantity]
_LISTS = (("containers", "container"), ("initContainers", "init container"))


class LimitRanger(Plugin):
    operations = frozenset({CREATE, UPDATE})
    subresources = frozenset({"", "resize"})

    def concerns(self, call: Call, old: Obj | None) -> bool:
        if not super().concerns(call, old):
            return False
        return call.resource is not PODS or old is None or call.request.subresource == "resize"

    async def mutate(self, call: Call, new: Obj, old: Obj | None) -> None:
        if call.resource is PODS and old is None:
            ranges = self._ranges(call.request.namespace)
            for limit_range in ranges:
                _fill(new, limit_range)
            if ranges:
                new["status"]["qosClass"] = podspec.qos_class(new)

    async def validate(self, call: Call, new: Obj, old: Obj | None) -> None:
        if is_deleting(new):
            return
        check = _pod if call.resource is PODS else _claim
        for limit_range in self._ranges(call.request.namespace):
            broken = list(dict.fromkeys(check(new, limit_range["spec"].get("limits") or ())))
            if broken:
                why = broken[0] if len(broken) == 1 else f"[{', '.join(broken)}]"
                raise denied(call, new, why)

    def _ranges(self, namespace: str) -> list[Obj]:
        prefix = storage_prefix(LIMIT_RANGES)
        cache = self.hub.cache(prefix)
        return [entry.obj for entry in cache.scan(f"{prefix}{namespace}/")] if cache.entries else []


def _fill(pod: Obj, limit_range: Obj) -> None:
    """Gives containers what they do not name, and says so in an annotation."""
    limits = [each for each in limit_range["spec"].get("limits") or () if each.get("type") == "Container"]
    said = []
    for key, kind in _LISTS:
        for container in pod["spec"].get(key) or ():
            for field, source in (("requests", "defaultRequest"), ("limits", "default")):
                added = _fill_one(container, field, [limit.get(source) or {} for limit in limits])
                if added:
                    said.append(f"{', '.join(sorted(added))} {field[:-1]} for {kind} {container['name']}")
    if said:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(said)}"


def _fill_one(container: Obj, field: str, defaults: Iterable[Mapping[str, str]]) -> list[str]:
    added = []
    for listed in defaults:
        for name, amount in listed.items():
            present = container.setdefault("resources", {}).setdefault(field, {})
            if name not in present:
                present[name] = amount
                added.append(name)
    return added


# --- bounds -------------------------------------------------------------------------------------------------


def _pod(pod: Obj, limits: Iterable[Obj]) -> Iterator[str]:
    for limit in limits:
        if limit.get("type") == "Container":
            for key, _ in _LISTS:
                for container in pod["spec"].get(key) or ():
                    given = container.get("resources") or {}
                    yield from _bounds(limit, _amounts(given.get("requests")), _amounts(given.get("limits")))
        elif limit.get("type") == "Pod":
            yield from _bounds(limit, _sums(podspec.requests(pod)), _sums(podspec.limits(pod)))


def _claim(claim: Obj, limits: Iterable[Obj]) -> Iterator[str]:
    requests = _amounts(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    for limit in limits:
        if limit.get("type") != "PersistentVolumeClaim":
            continue
        for name, least in _amounts(limit.get("min")).items():
            yield from _at_least("PersistentVolumeClaim", name, least, requests.get(name), None)
        for name, most in _amounts(limit.get("max")).items():
            head = f"maximum {name} usage per PersistentVolumeClaim is {most}"
            asked = requests.get(name)
            if asked is None:
                yield f"{head}.  No request is specified"
            elif asked > most:
                yield f"{head}, but request is {asked}"


def _bounds(limit: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit["type"]
    for name, least in _amounts(limit.get("min")).items():
        yield from _at_least(kind, name, least, requests.get(name), limits.get(name))
    for name, most in _amounts(limit.get("max")).items():
        yield from _at_most(kind, name, most, requests.get(name), limits.get(name))
    for name, ratio in _amounts(limit.get("maxLimitRequestRatio")).items():
        yield from _within(kind, name, ratio, requests.get(name), limits.get(name))


def _at_least(
    kind: str, name: str, least: Quantity, request: Quantity | None, limit: Quantity | None
) -> Iterator[str]:
    head = f"minimum {name} usage per {kind} is {least}"
    if request is None:
        yield f"{head}.  No request is specified"
    elif request < least:
        yield f"{head}, but request is {request}"
    elif limit is not None and limit < least:
        yield f"{head}, but limit is {limit}"


def _at_most(
    kind: str, name: str, most: Quantity, request: Quantity | None, limit: Quantity | None
) -> Iterator[str]:
    head = f"maximum {name} usage per {kind} is {most}"
    if limit is None:
        yield f"{head}.  No limit is specified"
    elif limit > most:
        yield f"{head}, but limit is {limit}"
    elif request is not None and request > most:
        yield f"{head}, but request is {request}"


def _within(
    kind: str, name: str, most: Quantity, request: Quantity | None, limit: Quantity | None
) -> Iterator[str]:
    head = f"{name} max limit to request ratio per {kind} is {most}, but"
    if request is None or not request.nano:
        yield f"{head} no request is specified or request is 0"
    elif limit is None or not limit.nano:
        yield f"{head} no limit is specified or limit is 0"
    elif limit.nano * 10**9 > most.nano * request.nano:
        yield f"{head} provided ratio is {limit.nano / request.nano:.6f}"


def _amounts(listed: Mapping[str, str] | None) -> Amounts:
    return {name: quantity(text) for name, text in (listed or {}).items()}


def _sums(counts: Mapping[str, int]) -> Amounts:
    return {name: podspec.as_quantity(name, count) for name, count in counts.items()}
