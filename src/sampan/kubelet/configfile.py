"""An operator's KubeletConfiguration (kubelet.config.k8s.io/v1beta1): which fields this node knows. Pure.

Source: reference/config-api/kubelet-config.v1beta1. A field that is not in the table is refused by name: a
node that passed over what it was told would not be the node that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sampan.api import quantity
from sampan.kubelet.backoff import LIMIT_S
from sampan.kubelet.eviction.thresholds import EvictionConfig, configured
from sampan.kubelet.images.collection import CollectionConfig

API_VERSION, KIND = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?").fullmatch
_UNITS_S = (3600.0, 60.0, 1.0)


class ConfigurationError(ValueError):
    """The text names the field and what is wrong with it."""


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("is no whole number")
    return value


def _seconds(value: Any) -> float:
    """`1m30s`"""
    matched = _DURATION(value) if isinstance(value, str) and value else None
    if matched is None or not any(matched.groups()):
        raise ValueError("is no duration such as 1m30s")
    return sum(float(part) * unit for part, unit in zip(matched.groups(), _UNITS_S, strict=True) if part)


def _bytes(value: Any) -> int:
    return quantity.value(value)


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("is no map")
    return {str(name): str(text) for name, text in value.items()}


def _amounts(value: Any) -> dict[str, str]:
    found = _texts(value)
    for text in found.values():
        if quantity.quantity(text).nano < 0:
            raise ValueError(f"has a negative amount, {text}")
    return found


def _grace_periods(value: Any) -> dict[str, float]:
    return {name: _seconds(text) for name, text in _texts(value).items()}


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("is no absolute path")
    return Path(value)


def _lease(value: Any) -> int:
    if _integer(value) < 1:
        raise ValueError("is less than a second")
    return int(value)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("is no list of names")
    return tuple(value)


def _crash_loop(value: Any) -> float:
    if not isinstance(value, dict) or set(value) != {"maxContainerRestartPeriod"}:
        raise ValueError("is no map with maxContainerRestartPeriod alone")
    longest_s = _seconds(value["maxContainerRestartPeriod"])
    if not 1 <= longest_s <= LIMIT_S:
        raise ValueError("has a maxContainerRestartPeriod outside of 1s to 300s")
    return longest_s


# field -> (where it goes, how it is read); "eviction.hard" is a field of KubeletConfig.eviction
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "maxPods": ("max_pods", _integer),
    "podPidsLimit": ("pod_pids_limit", _integer),
    "systemReserved": ("system_reserved", _amounts),
    "kubeReserved": ("kube_reserved", _amounts),
    "evictionHard": ("eviction.hard", _texts),
    "evictionSoft": ("eviction.soft", _texts),
    "evictionSoftGracePeriod": ("eviction.soft_grace_s", _grace_periods),
    "evictionMinimumReclaim": ("eviction.minimum_reclaim", _texts),
    "evictionMaxPodGracePeriod": ("eviction.max_pod_grace_s", lambda value: float(_integer(value))),
    "evictionPressureTransitionPeriod": ("eviction.transition_s", _seconds),
    "imageGCHighThresholdPercent": ("collection.high_threshold_percent", _integer),
    "imageGCLowThresholdPercent": ("collection.low_threshold_percent", _integer),
    "imageMinimumGCAge": ("collection.minimum_age_s", _seconds),
    "imageMaximumGCAge": ("collection.maximum_age_s", _seconds),
    "containerLogMaxSize": ("log_max_bytes", _bytes),
    "containerLogMaxFiles": ("log_max_files", _integer),
    "crashLoopBackOff": ("longest_backoff_s", _crash_loop),
    "nodeLeaseDurationSeconds": ("lease_s", _lease),
    "staticPodPath": ("static_pod_path", _path),
    "allowedUnsafeSysctls": ("allowed_unsafe_sysctls", _names),
}


def settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of KubeletConfig. Raises ConfigurationError."""
    said = (document.get("apiVersion", API_VERSION), document.get("kind", KIND))
    if said != (API_VERSION, KIND):
        raise ConfigurationError(f"it is {said[0]} {said[1]}, not {API_VERSION} {KIND}")
    parts: dict[str, Any] = {"eviction": EvictionConfig(), "collection": CollectionConfig()}
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name in ("apiVersion", "kind"):
            continue
        if name not in _FIELDS:
            raise ConfigurationError(f"{name}: this node knows no such field; known are {', '.join(_FIELDS)}")
        target, read = _FIELDS[name]
        try:
            known = read(value)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {value!r} {error}") from error
        part, _, inner = target.partition(".")
        if inner:
            parts[part] = replace(parts[part], **{inner: known})
            found[part] = parts[part]
        else:
            found[part] = known
    try:
        configured(parts["eviction"])
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return found
