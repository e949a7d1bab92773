"""Which server a name means, and which none may reach."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.apiserver.proxying.target import Asked, Target, asked, is_proxyable, of_pod, of_service


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("http", "web", "")),
        ("web:80", ("http", "web", "80")),
        ("web:main", ("http", "web", "main")),
        ("https:web:", ("https", "web", "")),
        ("http:web:80", ("http", "web", "80")),
        (":web:80", ("http", "web", "80")),
    ],
)
def test_names(text: str, parts: tuple[str, str, str]) -> None:
    assert asked("services", text) == Asked(*parts)


@pytest.mark.parametrize("text", ["", ":", ":80", "ftp:web:80", "a:b:c:d", "https::80"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(StatusError, match="invalid service request"):
        asked("services", text)


def pod(name: str = "p", ip: str = "10.244.0.5", **port: Any) -> Obj:
    container: Obj = {"name": "c", "ports": [port] if port else []}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "first"}, container]},
        "status": {"podIP": ip, "podIPs": [{"ip": ip}]},
    }


def test_pods() -> None:
    assert of_pod(pod(containerPort=8080), asked("pods", "p")) == Target("http", "10.244.0.5", 8080)
    assert of_pod(pod(containerPort=8080), asked("pods", "p:99")).port == 99
    assert of_pod(pod(), asked("pods", "p")).port == 80
    assert of_pod(pod(), asked("pods", "https:p:")).port == 443


@pytest.mark.parametrize("port", ["web", "0", "65536", "-1", "80/x"])
def test_a_pods_port_is_a_number(port: str) -> None:
    with pytest.raises(StatusError):
        of_pod(pod(), asked("pods", f"p:{port}"))


@pytest.mark.parametrize(
    "address",
    [
        *["255.255.255.255", "localhost", "10.0.0.1 "],
        *[
            "",
            "127.0.0.1",
            "::1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "::ffff:127.0.0.1",
        ],
    ],
)
def test_addresses_that_lead_back_home_are_refused(address: str) -> None:
    assert not is_proxyable(address)
    with pytest.raises(StatusError, match="address not allowed"):
        of_pod(pod(ip=address), asked("pods", "p"))


def endpoint(name: str = "p", ip: str = "10.244.0.5", ready: bool | None = True, kind: str = "Pod") -> Obj:
    return {
        "addresses": [ip],
        "conditions": {"ready": ready},
        "targetRef": {"kind": kind, "name": name},
    }


SERVICE: Obj = {
    "metadata": {"name": "web"},
    "spec": {"ports": [{"name": "main", "port": 80}, {"name": "other", "port": 81}]},
}


def pieces(*endpoints: Obj) -> list[Obj]:
    ports = [{"name": "main", "port": 8080}, {"name": "other", "port": 8081}]
    return [{"ports": ports, "endpoints": list(endpoints)}]


def test_services_by_number_and_by_name() -> None:
    for text in ("web:80", "web:main"):
        found = of_service(SERVICE, pieces(endpoint()), {"p": pod()}, asked("services", text))
        assert found == Target("http", "10.244.0.5", 8080)
    with pytest.raises(StatusError, match='no service port 99 found for service "web"'):
        of_service(SERVICE, pieces(endpoint()), {"p": pod()}, asked("services", "web:99"))


@pytest.mark.parametrize(
    ("one", "pods"),
    [
        (endpoint(ready=False), {"p": pod()}),
        (endpoint(), {}),
        (endpoint(ip="10.96.0.1"), {"p": pod()}),
        (endpoint(kind="Node"), {"p": pod()}),
        (endpoint(ip="127.0.0.1"), {"p": pod(ip="127.0.0.1")}),
        ({"addresses": ["10.244.0.5"]}, {"p": pod()}),
    ],
    ids=["not ready", "no such Pod", "not the Pod's", "no Pod", "loopback", "by hand"],
)
def test_endpoints_that_are_no_ready_pods_are_not_dialled(one: Obj, pods: dict[str, Obj]) -> None:
    with pytest.raises(StatusError, match='no endpoints available for service "web"'):
        of_service(SERVICE, pieces(one), pods, asked("services", "web:80"))


def test_load_is_spread() -> None:
    pods = {f"p{n}": pod(f"p{n}", f"10.244.0.{n}") for n in range(1, 4)}
    parts = pieces(*(endpoint(name, one["status"]["podIP"]) for name, one in pods.items()))
    found = {of_service(SERVICE, parts, pods, asked("services", "web:80")).host for _ in range(100)}
    assert len(found) == 3
