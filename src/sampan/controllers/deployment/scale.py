"""The arithmetic of a rollout: how many Pods each ReplicaSet of a Deployment may have next. Pure.

All of it works on `Sizes`, plain numbers by ReplicaSet; the rules are those of the Deployment docs ("max
unavailable", "max surge", "proportional scaling").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.api.intstr import resolve


@dataclass(frozen=True, slots=True)
class Strategy:
    """What a Deployment allows: `desired` Pods, at most `surge` more, `unavailable` of them missing."""

    desired: int
    surge: int
    unavailable: int
    recreate: bool = False

    @property
    def most(self) -> int:
        return self.desired + self.surge

    @property
    def least_available(self) -> int:
        return self.desired - self.unavailable


@dataclass(frozen=True, slots=True)
class Size:
    """One ReplicaSet: Pods asked for, Pods available, and for which `max-replicas` it was sized last (or 0).

    Sequences of sizes are in order of age, oldest first.
    """

    name: str
    replicas: int
    available: int = 0
    sized_for: int = 0


def strategy_of(spec: dict[str, object]) -> Strategy:
    """From a Deployment's spec. Surge rounds up, unavailable down, and both being 0 would stand still: 1."""
    desired = _int(spec.get("replicas"), 1)
    strategy = spec.get("strategy")
    strategy = strategy if isinstance(strategy, dict) else {}
    if strategy.get("type") == "Recreate":
        return Strategy(desired, 0, 0, recreate=True)
    rolling = strategy.get("rollingUpdate") or {}
    surge = resolve(rolling.get("maxSurge", "25%"), desired, round_up=True)
    unavailable = resolve(rolling.get("maxUnavailable", "25%"), desired, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Strategy(desired, surge, min(unavailable, desired))


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def new_size(strategy: Strategy, new: int, total: int) -> int:
    """How many Pods the new ReplicaSet, now at `new`, may have while all together ask for `total`."""
    if strategy.recreate or new > strategy.desired:
        return strategy.desired
    room = strategy.most - total
    if room <= 0:
        return new
    return new + min(room, strategy.desired - new)


def shrink_old(strategy: Strategy, old: Sequence[Size], new: Size) -> dict[str, int]:
    """Next sizes of the old ReplicaSets that change.

    Pods that are not available go first, for their end costs nobody anything; then as many available ones as
    still leave `least_available`.
    """
    total = sum(size.replicas for size in old) + new.replicas
    # Pods of the new set that are not available yet are no reason to take away old ones.
    budget = total - strategy.least_available - (new.replicas - new.available)
    if budget <= 0:
        return {}
    sizes = {size.name: size.replicas for size in old}
    for size in old:
        broken = min(budget, max(size.replicas - size.available, 0))
        sizes[size.name] -= broken
        budget -= broken
    spare = sum(size.available for size in old) + new.available - strategy.least_available
    for size in old:
        gone = min(max(spare, 0), sizes[size.name])
        sizes[size.name] -= gone
        spare -= gone
    return {size.name: sizes[size.name] for size in old if sizes[size.name] != size.replicas}


def proportional(strategy: Strategy, sizes: Sequence[Size], fallback: int) -> dict[str, int]:
    """Next size of every ReplicaSet that has Pods, when the Deployment is scaled in the middle of a rollout.

    What there is to add or take is shared out in proportion, larger sets first (of equals the newer when
    growing, the older when shrinking); what rounding leaves over falls to the first. `fallback` is the size
    of the Deployment a ReplicaSet is taken to be sized for that does not say.
    """
    allowed = strategy.most if strategy.desired > 0 else 0
    change = allowed - sum(size.replicas for size in sizes)
    oldest_first = list(sizes) if change <= 0 else list(reversed(sizes))
    ordered = sorted(oldest_first, key=lambda size: -size.replicas)
    result: dict[str, int] = {}
    done = 0
    for size in ordered:
        share = _share(strategy, size, change - done, fallback) if size.replicas and change != done else 0
        result[size.name] = size.replicas + share
        done += share
    if ordered and change:
        first = ordered[0].name
        result[first] = max(result[first] + change - done, 0)
    return result


def _share(strategy: Strategy, size: Size, left: int, fallback: int) -> int:
    """This set's part of the change, never more than is `left` and never against its direction."""
    if strategy.desired == 0:
        share = -size.replicas
    else:
        before = size.sized_for or fallback
        if before == 0:
            return 0
        share = _round_half_away(size.replicas * strategy.most, before) - size.replicas
    return min(max(share, 0), left) if left > 0 else max(min(share, 0), left)


def _round_half_away(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
