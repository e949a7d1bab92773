"""Requests through the API server to a Pod and to the Pods of a Service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from kubernetes import client

from harness.conformance import conforms
from harness.node import Node
from harness.scene import Scene, box, pod
from sampan.apiserver import pki

SERVERS = Path(__file__).parent / "servers"
METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
PORTS = [(80, "web"), (1080, "page"), (160, "dest1"), (162, "dest2"), (460, "tlsdest1"), (462, "tlsdest2")]
SERVICE = [
    {"name": "portname1", "port": 80, "targetPort": "dest1"},
    {"name": "portname2", "port": 81, "targetPort": 162},
    {"name": "tlsportname1", "port": 443, "targetPort": "tlsdest1"},
    {"name": "tlsportname2", "port": 444, "targetPort": 462},
]
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def proxied(node: Node, api: client.ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scene = Scene(node, "conformance-proxying", api)
    scene.core.create_namespace({"metadata": {"name": scene.namespace}})
    keys = pki.load_or_create(tmp_path_factory.mktemp("tls"), ["elsewhere"])
    names = {"tls.crt": keys.certificate("apiserver"), "tls.key": keys.key("apiserver")}
    scene.config_map("servers", **{"proxied.py": (SERVERS / "proxied.py").read_text()})
    scene.secret("tls", **{name: Path(path).read_text() for name, path in names.items()})
    server = box(
        ["python3", "/servers/proxied.py"],
        image="toolbox",
        ports=[{"containerPort": number, "name": name} for number, name in PORTS],
        readinessProbe={"tcpSocket": {"port": 462}},
        volumeMounts=[
            {"name": "servers", "mountPath": "/servers"},
            {"name": "tls", "mountPath": "/tls"},
        ],
    )
    volumes = [
        {"name": "servers", "configMap": {"name": "servers"}},
        {"name": "tls", "secret": {"secretName": "tls"}},
    ]
    scene.core.create_namespaced_service(
        scene.namespace, {"metadata": {"name": "s"}, "spec": {"selector": {"app": "p"}, "ports": SERVICE}}
    )
    main = {"metadata": {"name": "main"}, "spec": {"selector": {"app": "p"}, "ports": [{"port": 80}]}}
    scene.core.create_namespaced_service(scene.namespace, main)
    scene.ready(pod("p", server, labels={"app": "p"}, volumes=volumes))
    yield scene
    scene.core.delete_namespace(scene.namespace)


def ask(scene: Scene, method: str, rest: str) -> urllib3.BaseHTTPResponse:
    url = f"{scene.api.configuration.host}/api/v1/namespaces/{scene.namespace}/{rest}"
    begun_s = time.monotonic()
    answer = scene.api.rest_client.pool_manager.request(method, url, redirect=False)
    assert time.monotonic() - begun_s < LIMIT_S
    return answer


def told(answer: urllib3.BaseHTTPResponse) -> tuple[int, str, str]:
    said = json.loads(answer.data)
    return answer.status, said["body"], said["method"]


@conforms(
    "[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service Proxy"
)
def test_every_method_without_a_path(proxied: Scene) -> None:
    for name in ("pods/p", "services/main"):
        for method in METHODS:
            answer = ask(proxied, method, f"{name}/proxy?method={method}")
            if method in ("GET", "HEAD"):
                assert answer.status == 301
            else:
                assert told(answer) == (200, "foo", method)


@conforms(
    "[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service ProxyWithPath"
)
def test_every_method_with_a_path(proxied: Scene) -> None:
    for name in ("pods/p", "services/main"):
        for method in METHODS:
            answer = ask(proxied, method, f"{name}/proxy/some/path/with/{method}")
            if method == "HEAD":
                assert (answer.status, answer.data) == (200, b"")
            else:
                assert told(answer) == (200, "foo", method)
                assert json.loads(answer.data)["path"] == f"/some/path/with/{method}"


@conforms("[sig-network] Proxy version v1 should proxy through a service and a pod")
def test_by_scheme_and_port(proxied: Scene) -> None:
    def page(name: str) -> str:
        prefix = f"/api/v1/namespaces/{proxied.namespace}/{name}/proxy"
        return f'<a href="{prefix}/rewriteme">test</a>'

    expected = {
        "services/s:portname1": "foo",
        "services/http:s:portname1": "foo",
        "services/s:80": "foo",
        "services/s:portname2": "bar",
        "services/http:s:portname2": "bar",
        "services/s:81": "bar",
        "services/https:s:tlsportname1": "tls baz",
        "services/https:s:443": "tls baz",
        "services/https:s:tlsportname2": "tls qux",
        "pods/p:1080": page("pods/p:1080"),
        "pods/http:p:1080": page("pods/http:p:1080"),
        "pods/p:160": "foo",
        "pods/http:p:160": "foo",
        "pods/p:162": "bar",
        "pods/https:p:460": "tls baz",
        "pods/https:p:462": "tls qux",
    }
    for _ in range(3):
        for name, body in expected.items():
            answer = ask(proxied, "GET", f"{name}/proxy/")
            assert (name, answer.status, answer.data.decode()) == (name, 200, body)
