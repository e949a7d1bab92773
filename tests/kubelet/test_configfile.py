"""What operators tell a node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.configfile import ConfigurationError, settings


def test_every_field_finds_its_place() -> None:
    told = settings(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "maxPods": 20,
            "podPidsLimit": 100,
            "systemReserved": {"cpu": "500m", "memory": "1Gi"},
            "kubeReserved": {"memory": "100Mi"},
            "evictionHard": {"memory.available": "5%"},
            "evictionSoft": {"nodefs.available": "10%"},
            "evictionSoftGracePeriod": {"nodefs.available": "1m30s"},
            "evictionMinimumReclaim": {"nodefs.available": "1Gi"},
            "evictionMaxPodGracePeriod": 60,
            "evictionPressureTransitionPeriod": "5m",
            "imageGCHighThresholdPercent": 90,
            "imageGCLowThresholdPercent": 70,
            "imageMinimumGCAge": "2m",
            "imageMaximumGCAge": "1h",
            "containerLogMaxSize": "5Mi",
            "containerLogMaxFiles": 3,
            "allowedUnsafeSysctls": ["kernel.msg*"],
            "staticPodPath": "/etc/kubernetes/manifests",
            "crashLoopBackOff": {"maxContainerRestartPeriod": "1m"},
        }
    )
    found = replace(KubeletConfig("n", Path("/x")), **told)
    assert (found.max_pods, found.pod_pids_limit, found.log_max_bytes, found.log_max_files) == (
        20,
        100,
        5 << 20,
        3,
    )
    assert found.system_reserved == {"cpu": "500m", "memory": "1Gi"}
    assert found.eviction.hard == {"memory.available": "5%"}
    assert (found.eviction.soft_grace_s, found.eviction.max_pod_grace_s) == ({"nodefs.available": 90.0}, 60.0)
    assert (found.collection.high_threshold_percent, found.collection.maximum_age_s) == (90, 3600.0)
    assert found.allowed_unsafe_sysctls == ("kernel.msg*",)
    assert found.manifests == Path("/etc/kubernetes/manifests")
    assert found.longest_backoff_s == 60
    assert KubeletConfig("n", Path("/x")).manifests == Path("/x/manifests")


def test_nothing_told_changes_nothing() -> None:
    assert settings({}) == {}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"staticPodPath": "manifests"}, "staticPodPath: 'manifests' is no absolute path"),
        ({"kind": "Pod"}, "not kubelet.config.k8s.io/v1beta1 KubeletConfiguration"),
        ({"maxPodz": 1}, "maxPodz: this node knows no such field"),
        ({"maxPods": "many"}, "maxPods: 'many' is no whole number"),
        ({"systemReserved": {"cpu": "-1"}}, "has a negative amount"),
        ({"systemReserved": {"cpu": "x"}}, "systemReserved: "),
        ({"evictionHard": {"disk": "1"}}, 'unsupported eviction signal "disk"'),
        ({"evictionSoft": {"nodefs.available": "1"}}, "grace period must be specified"),
        ({"evictionPressureTransitionPeriod": "soon"}, "is no duration such as 1m30s"),
        ({"allowedUnsafeSysctls": "all"}, "is no list of names"),
        ({"evictionHard": 1}, "is no map"),
        ({"crashLoopBackOff": {"maxContainerRestartPeriod": "10m"}}, "outside of 1s to 300s"),
        ({"crashLoopBackOff": {}}, "is no map with maxContainerRestartPeriod"),
    ],
)
def test_mistakes_are_named(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(document)
    assert words in str(caught.value)
