"""resolv.conf by dnsPolicy and dnsConfig."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.kubelet.resolvconf import Resolver, resolver

NODE = Resolver.parse("# c\nnameserver 9.9.9.9\nsearch a.example b.example.\noptions edns0\n")


def text(**spec: Any) -> str:
    pod = {"metadata": {"name": "web", "namespace": "ns"}, "spec": spec}
    return resolver(pod, NODE, ("10.96.0.10",), "cluster.local").render()


CLUSTER = (
    "search ns.svc.cluster.local svc.cluster.local cluster.local a.example b.example\n"
    "nameserver 10.96.0.10\n"
    "options ndots:5\n"
)
OWN = "search a.example b.example\nnameserver 9.9.9.9\noptions edns0\n"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, OWN),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "Default"}, OWN),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"],
                    "searches": ["x"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            "search x\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
        ),
    ],
)
def test_policy(spec: dict[str, Any], wanted: str) -> None:
    assert text(**spec) == wanted


def test_config_adds_and_overrides() -> None:
    config = {"nameservers": ["1.1.1.1", "10.96.0.10"], "options": [{"name": "ndots", "value": "1"}]}
    found = text(dnsConfig=config)
    assert "nameserver 10.96.0.10\nnameserver 1.1.1.1\n" in found
    assert found.endswith("options ndots:1\n")
