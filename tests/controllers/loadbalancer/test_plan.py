"""Whose business a Service is, and what its status has to say."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.controllers.loadbalancer.plan import FINALIZER, Care, care, status_patch
from sampan.controllers.loadbalancer.pool import Pools

OURS, THEIRS = {"ip": "100.65.0.1", "ipMode": "VIP"}, {"ip": "192.0.2.1"}


def service(
    *ingress: Obj, type: str = "LoadBalancer", kept: bool = False, deleting: bool = False, **spec: Any
) -> Obj:
    metadata: Obj = {"name": "web", "namespace": "default", "uid": "u"}
    if kept:
        metadata["finalizers"] = [FINALIZER]
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"type": type, **spec},
        "status": {"loadBalancer": {"ingress": list(ingress)} if ingress else {}},
    }


CASES: dict[str, tuple[Obj, Care]] = {
    "new": (service(), Care.SERVE),
    "served": (service(OURS, kept=True), Care.SERVE),
    "of our class": (service(loadBalancerClass="sampan.dev/pool"), Care.SERVE),
    "of another class": (service(loadBalancerClass="example.com/lb"), Care.LEAVE),
    "of another class, going": (
        service(THEIRS, kept=True, deleting=True, loadBalancerClass="example.com/lb"),
        Care.LEAVE,
    ),
    "another was first": (service(THEIRS), Care.LEAVE),
    "another was first, by name": (service({"hostname": "lb.example.com"}), Care.LEAVE),
    "another took over": (service(THEIRS, kept=True), Care.LEAVE),
    "of a family without pool": (service({"ip": "2001:db8::1"}, kept=True), Care.SERVE),
    "going": (service(OURS, kept=True, deleting=True), Care.CLEAN_UP),
    "going, another serves it": (service(THEIRS, kept=True, deleting=True), Care.CLEAN_UP),
    "going, not kept": (service(deleting=True), Care.LEAVE),
    "given up": (service(OURS, kept=True, type="ClusterIP"), Care.CLEAN_UP),
    "given up, status told already": (service(kept=True, type="NodePort"), Care.CLEAN_UP),
    "given up, freed already": (service(OURS, type="ExternalName"), Care.CLEAN_UP),
    "given up, another's": (service(THEIRS, kept=True, type="ClusterIP"), Care.LEAVE),
    "never": (service(type="ClusterIP"), Care.LEAVE),
}


@pytest.mark.parametrize("name", CASES)
def test_whose_business_it_is(name: str) -> None:
    given, wanted = CASES[name]
    assert care(given, Pools(("100.65.0.0/24",))) is wanted


def test_a_status_is_written_only_if_it_says_something_else() -> None:
    assert status_patch(service(OURS), ["100.65.0.1"]) is None
    assert status_patch(service(), []) is None
    assert status_patch(service(), ["100.65.0.1", "fd00::1"]) == {
        "metadata": {"uid": "u"},
        "status": {"loadBalancer": {"ingress": [OURS, {"ip": "fd00::1", "ipMode": "VIP"}]}},
    }
    cleared = status_patch(service(OURS), [])
    assert cleared is not None
    assert cleared["status"] == {"loadBalancer": {"ingress": None}}
    assert status_patch(service({"ip": "100.65.0.1"}), ["100.65.0.1"]) is not None
