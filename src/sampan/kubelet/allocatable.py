"""What of the node is there for Pods: its capacity without what is kept back. Pure.

Source: tasks/administer-cluster/reserve-compute-resources. Kept back are what the operator reserves for the
system and for sampan itself, and the margin below which Pods would be evicted at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api import podspec
from sampan.api.objects import Obj
from sampan.api.quantity import Quantity, quantity
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.eviction.thresholds import Threshold, parse
from sampan.kubelet.qos import HUGE_PAGES

_MARGINS = {"memory.available": "memory", "nodefs.available": "ephemeral-storage"}


def allocatable(capacity: Mapping[str, str], config: KubeletConfig) -> dict[str, str]:
    """Of each resource what Pods may ask for in all, never less than nothing."""
    kept = _reserved(config)
    kept.setdefault("memory", []).extend(
        quantity(text) for name, text in capacity.items() if name.startswith(HUGE_PAGES)
    )
    for threshold in parse(config.eviction.hard):
        if (name := _MARGINS.get(threshold.signal, "")) in capacity:
            kept.setdefault(name, []).append(_margin(threshold, quantity(capacity[name])))
    return {name: _less(name, text, kept.get(name, ())) for name, text in capacity.items()}


def for_pods(capacity: Mapping[str, str], config: KubeletConfig) -> dict[str, int]:
    """What all Pods together are held to by the kernel, in units of `podspec.amount`.

    The eviction margin is left out: Pods may use it, and are evicted for it.
    """
    kept = _reserved(config)
    return {
        name: podspec.amount(name, _less(name, capacity[name], kept.get(name, ())))
        for name in ("cpu", "memory")
        if name in capacity
    }


def extended(node: Obj) -> dict[str, str]:
    """What others say that the node has: `example.com/gpu` in its capacity."""
    listed = (node.get("status") or {}).get("capacity") or {}
    return {name: text for name, text in listed.items() if "/" in name and "kubernetes.io/" not in name}


def _reserved(config: KubeletConfig) -> dict[str, list[Quantity]]:
    kept: dict[str, list[Quantity]] = {}
    for source in (config.system_reserved, config.kube_reserved):
        for name, text in source.items():
            kept.setdefault(name, []).append(quantity(text))
    return kept


def _margin(threshold: Threshold, whole: Quantity) -> Quantity:
    nano = threshold.of(whole.nano // 10**9) * 10**9
    return Quantity(nano, whole.suffixes)


def _less(name: str, text: str, kept: Iterable[Quantity]) -> str:
    left = quantity(text)
    for amount in kept:
        left -= amount
    if left.nano < 0:
        return "0"
    if name == "memory" and left != quantity(text):
        return f"{left.nano // 10**9 // 1024}Ki"
    return str(left)
