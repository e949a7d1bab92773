"""Addresses and ports packed into subsets."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.controllers.endpoints.subsets import MOST_ADDRESSES, endpoints, size, subsets


def service(ports: list[Obj], **spec: Any) -> Obj:
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"ports": ports, "clusterIP": "10.96.0.7", "selector": {"app": "web"}, **spec},
    }


def pod(number: int, ready: bool = True, declares: dict[str, int] | None = None, **spec: Any) -> Obj:
    ports = [{"name": name, "containerPort": port} for name, port in (declares or {}).items()]
    return {
        "metadata": {"name": f"p{number}", "namespace": "default", "uid": f"u{number}"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": ports}], **spec},
        "status": {
            "phase": "Running",
            "podIP": f"10.{number // 250}.0.{number % 250 + 1}",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


HTTP = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}
ADMIN = {"name": "admin", "port": 81, "targetPort": "admin", "protocol": "TCP"}


def stored(made: Obj) -> Obj:
    return {**made, "metadata": {**made["metadata"], "resourceVersion": "1"}}


def brief(found: list[Obj]) -> list[tuple[list[str], list[str], list[int]]]:
    return [
        (
            [each["targetRef"]["name"] for each in subset.get("addresses", ())],
            [each["targetRef"]["name"] for each in subset.get("notReadyAddresses", ())],
            [port["port"] for port in subset.get("ports", ())],
        )
        for subset in found
    ]


def test_ports_with_the_same_addresses_share_a_subset() -> None:
    pods = [pod(0, declares={"http": 80, "admin": 81}), pod(1, declares={"http": 80, "admin": 81})]
    found, truncated = subsets(service([HTTP, ADMIN]), pods)
    assert brief(found) == [(["p0", "p1"], [], [81, 80])]
    assert not truncated


def test_pods_that_declare_different_ports_are_apart() -> None:
    pods = [pod(0, declares={"http": 80}), pod(1, declares={"http": 8080}), pod(2, declares={"admin": 81})]
    found, _ = subsets(service([HTTP, ADMIN]), pods)
    assert brief(found) == [(["p2"], [], [81]), (["p0"], [], [80]), (["p1"], [], [8080])]


def test_unready_pods_are_apart_within_a_subset() -> None:
    pods = [pod(0, declares={"http": 80}), pod(1, ready=False, declares={"http": 80})]
    assert brief(subsets(service([HTTP]), pods)[0]) == [(["p0"], ["p1"], [80])]
    asked = service([HTTP], publishNotReadyAddresses=True)
    assert brief(subsets(asked, pods)[0]) == [(["p0", "p1"], [], [80])]


def test_headless_without_ports_has_addresses_alone() -> None:
    found, _ = subsets(service([], clusterIP="None"), [pod(0, hostname="a", subdomain="web")])
    assert brief(found) == [(["p0"], [], [])]
    assert found[0]["addresses"][0]["hostname"] == "a"


def test_no_more_than_a_thousand_addresses_ready_ones_first() -> None:
    pods = [pod(number, ready=number % 2 == 0, declares={"http": 80}) for number in range(1500)]
    found = endpoints(service([HTTP]), pods, None)
    assert found is not None
    assert found["metadata"]["annotations"] == {"endpoints.kubernetes.io/over-capacity": "truncated"}
    (subset,) = found["subsets"]
    assert len(subset["addresses"]) == 750
    assert len(subset["notReadyAddresses"]) == MOST_ADDRESSES - 750


def test_of_what_does_not_fit_every_subset_keeps_its_proportion() -> None:
    pods = [pod(number, declares={"http": 80 if number < 1000 else 8080}) for number in range(1501)]
    pods += [pod(1501, ready=False, declares={"http": 80})]
    found, truncated = subsets(service([HTTP]), pods)
    assert truncated
    assert [len(subset["addresses"]) for subset in found] == [667, 333]
    assert not any("notReadyAddresses" in subset for subset in found)


def test_a_thousand_fit() -> None:
    found = endpoints(service([HTTP]), [pod(n, declares={"http": 80}) for n in range(MOST_ADDRESSES)], None)
    assert found is not None
    assert "annotations" not in found["metadata"]
    assert size(found) == MOST_ADDRESSES
    more = endpoints(service([HTTP]), [pod(n, declares={"http": 80}) for n in range(1001)], stored(found))
    assert more is not None and size(more) == MOST_ADDRESSES
    fewer = endpoints(service([HTTP]), [pod(0, declares={"http": 80})], stored(more))
    assert fewer is not None
    assert "annotations" not in fewer["metadata"], "no longer truncated"
    assert size(None) == 0


def test_the_primary_family_is_shown() -> None:
    both = pod(0, declares={"http": 80})
    both["status"]["podIPs"] = [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
    for families, shown in ((["IPv6", "IPv4"], "fd00::1"), (["IPv4", "IPv6"], "10.0.0.1")):
        (subset,), _ = subsets(service([HTTP], ipFamilies=families), [both, pod(1)])
        assert [address["ip"] for address in subset["addresses"]] == [shown]


@pytest.mark.parametrize(
    ("phase", "deleting", "publish", "listed"),
    [
        ("Running", False, False, True),
        ("Running", True, False, False),
        ("Running", True, True, True),
        ("Succeeded", False, False, False),
        ("Failed", False, True, False),
    ],
)
@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_who_has_ended_or_is_about_to_is_left_out(
    phase: str, deleting: bool, publish: bool, listed: bool, policy: str
) -> None:
    one = pod(0, declares={"http": 80}, restartPolicy=policy)
    one["status"]["phase"] = phase
    if deleting:
        one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert bool(subsets(service([HTTP], publishNotReadyAddresses=publish), [one])[0]) is listed


def test_two_pods_on_the_nodes_own_address_are_two() -> None:
    a, b = (pod(0, declares={"http": port}, hostNetwork=True) for port in (80, 8080))
    b["metadata"] |= {"name": "q", "uid": "other"}
    found, _ = subsets(service([HTTP]), [a, b])
    assert brief(found) == [(["p0"], [], [80]), (["q"], [], [8080])]


def test_the_trigger_time_is_noted_but_no_reason_to_write() -> None:
    asked, pods = service([HTTP]), [pod(0, declares={"http": 80})]
    found = endpoints(asked, pods, None, "2026-01-01T00:00:09Z")
    assert found is not None
    assert found["metadata"]["annotations"] == {
        "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:09Z"
    }
    found["metadata"]["resourceVersion"] = "1"
    assert endpoints(asked, pods, found) is None
    assert endpoints(asked, pods, found, "2026-01-01T00:00:10Z") is None
    emptied = endpoints(asked, [], found)
    assert emptied is not None
    assert "annotations" not in emptied["metadata"]


def test_nothing_to_write_twice() -> None:
    asked, pods = service([HTTP]), [pod(0, declares={"http": 80})]
    found = endpoints(asked, pods, None)
    assert found is not None
    found["metadata"]["resourceVersion"] = "1"
    assert endpoints(asked, pods, found) is None
    assert endpoints(asked, [], found) is not None
