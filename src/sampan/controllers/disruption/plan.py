"""What a disruption budget says of its Pods: how many are healthy, must be, and may go. Pure.

Source: concepts/workloads/pods/disruptions and tasks/run-application/configure-pdb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sampan.api import intstr
from sampan.api.clock import format_time, parse_time
from sampan.api.objects import Obj, controller_of, is_deleting, name_of
from sampan.api.podspec import is_ready
from sampan.controllers.conditions import with_condition

CONFIRM_S = 120.0
"""So long after its eviction a Pod is believed to be on its way out; then the eviction came to nothing."""
ALLOWED = "DisruptionAllowed"


class Uncountable(Exception):
    """How many Pods there should be cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class Expected:
    """`pods` there should be, of which `healthy` must be up. `unmanaged`: names of Pods of no controller."""

    pods: int
    healthy: int
    unmanaged: tuple[str, ...] = ()


Scale = Callable[[Obj], "tuple[str, int] | None"]
"""Of the controller reference of a Pod: (uid of what is scaled, its replicas), None if nobody knows."""


def expected(budget: Obj, pods: Sequence[Obj], scale: Scale) -> Expected:
    """Raises Uncountable."""
    spec = budget.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if most is None and not isinstance(least, str):
        return Expected(len(pods), least or 0)
    replicas, unmanaged = _replicas(pods, scale)
    if most is not None:
        return Expected(replicas, max(replicas - _share(most, replicas), 0), unmanaged)
    return Expected(replicas, _share(least, replicas), unmanaged)


def _share(value: int | str | None, total: int) -> int:
    try:
        return intstr.resolve(value or 0, total, round_up=True)
    except ValueError as error:
        raise Uncountable(str(error)) from error


def _replicas(pods: Iterable[Obj], scale: Scale) -> tuple[int, tuple[str, ...]]:
    """The sum over all controllers of the Pods, each once."""
    found: dict[str, int] = {}
    unmanaged = []
    for pod in pods:
        owner = controller_of(pod)
        if owner is None:
            unmanaged.append(name_of(pod))
            continue
        if owner["uid"] in found:
            continue
        known = scale(owner)
        if known is None:
            kind = f"{owner['kind'].lower()}s.{owner['apiVersion'].partition('/')[0]}"
            raise Uncountable(f"{kind} does not implement the scale subresource")
        found[known[0]] = known[1]
    return sum(found.values()), tuple(unmanaged)


def confirmed(
    disrupted: Mapping[str, str], pods: Iterable[Obj], now_s: float
) -> tuple[dict[str, str], float | None, list[str]]:
    """Evictions still to be seen, seconds until the next is given up, names of those given up."""
    known = {name_of(pod): pod for pod in pods}
    kept: dict[str, str] = {}
    left: list[float] = []
    failed = []
    for name, since in disrupted.items():
        pod = known.get(name)
        if pod is None or is_deleting(pod):
            continue
        over_s = parse_time(since) + CONFIRM_S
        if over_s <= now_s:
            failed.append(name)
        else:
            kept[name] = since
            left.append(over_s - now_s)
    return kept, min(left, default=None), failed


def status(
    budget: Obj, pods: Iterable[Obj], wanted: Expected, disrupted: Mapping[str, str], now_s: float
) -> Obj:
    """The budget's new status."""
    healthy = sum(is_ready(pod) for pod in pods if not is_deleting(pod) and name_of(pod) not in disrupted)
    allowed = max(healthy - wanted.healthy, 0) if wanted.pods > 0 else 0
    found: Obj = {
        "currentHealthy": healthy,
        "desiredHealthy": wanted.healthy,
        "disruptionsAllowed": allowed,
        "expectedPods": wanted.pods,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "conditions": _said(budget, "SufficientPods" if allowed else "InsufficientPods", "", now_s),
    }
    return found | ({"disruptedPods": dict(disrupted)} if disrupted else {})


def failed_status(budget: Obj, why: str, now_s: float) -> Obj:
    """Where nothing can be counted nothing may go."""
    before: Obj = budget.get("status") or {}
    zeroes = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    return {
        **zeroes,
        **before,
        "disruptionsAllowed": 0,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "conditions": _said(budget, "SyncFailed", why, now_s),
    }


def _said(budget: Obj, reason: str, message: str, now_s: float) -> list[Obj]:
    condition = {
        "type": ALLOWED,
        "status": "True" if reason == "SufficientPods" else "False",
        "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": format_time(now_s),
        "reason": reason,
        "message": message,
    }
    return with_condition((budget.get("status") or {}).get("conditions") or [], condition)
