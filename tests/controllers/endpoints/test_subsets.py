"""Addresses and ports packed into subsets."""

from __future__ import annotations

from typing import Any

from sampan.api.objects import Obj
from sampan.controllers.endpoints.subsets import MOST_ADDRESSES, endpoints, subsets


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


def test_nothing_to_write_twice() -> None:
    asked, pods = service([HTTP]), [pod(0, declares={"http": 80})]
    found = endpoints(asked, pods, None)
    assert found is not None
    found["metadata"]["resourceVersion"] = "1"
    assert endpoints(asked, pods, found) is None
    assert endpoints(asked, [], found) is not None
