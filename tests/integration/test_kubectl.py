"""An unmodified kubectl against the server."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from harness.webapp import WEBAPP

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


def test_create_get_describe_delete(kubectl: Kubectl) -> None:
    assert kubectl("create", "configmap", "cm", "--from-literal=k=v").stdout == "configmap/cm created\n"
    assert kubectl("get", "cm", "cm", "-o", "jsonpath={.data.k}").stdout == "v"
    rows = kubectl("get", "cm", "cm").stdout.splitlines()
    assert rows[0].split() == ["NAME", "DATA", "AGE"] and rows[1].split()[:2] == ["cm", "1"]
    assert "Name:         cm" in kubectl("describe", "cm", "cm").stdout
    assert kubectl("delete", "cm", "cm").stdout == 'configmap "cm" deleted\n'
    assert "NotFound" in kubectl("get", "cm", "cm", code=1).stderr


def test_apply_three_times(kubectl: Kubectl) -> None:
    first = kubectl("apply", "-f", "-", stdin=WEBAPP).stdout
    assert first == "deployment.apps/webapp created\nservice/web-service created\n"
    second = kubectl("apply", "-f", "-", stdin=WEBAPP).stdout
    assert second == "deployment.apps/webapp unchanged\nservice/web-service unchanged\n"
    third = kubectl("apply", "-f", "-", stdin=WEBAPP.replace("image: nginx", "image: nginx:2")).stdout
    assert third == "deployment.apps/webapp configured\nservice/web-service unchanged\n"
    image = kubectl("get", "deploy", "webapp", "-o", "jsonpath={.spec.template.spec.containers[*].image}")
    assert image.stdout == "nginx:2"
    dry = kubectl("apply", "--dry-run=server", "-f", "-", stdin=WEBAPP).stdout
    assert "deployment.apps/webapp configured (server dry run)" in dry
    assert kubectl("get", "deploy", "webapp", "-o", "jsonpath={.metadata.generation}").stdout == "2"


def test_scale_label_patch_expose(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=nginx")
    assert kubectl("scale", "deploy", "d", "--replicas=4").stdout == "deployment.apps/d scaled\n"
    assert kubectl("get", "deploy", "d").stdout.splitlines()[1].split()[:2] == ["d", "0/4"]
    kubectl("label", "deploy", "d", "tier=x")
    kubectl("patch", "deploy", "d", "-p", '{"spec":{"paused":true}}')
    kubectl("patch", "deploy", "d", "--type=json", "-p", '[{"op":"remove","path":"/spec/paused"}]')
    kubectl("expose", "deploy", "d", "--port=80", "--type=NodePort")
    ports = kubectl("get", "svc", "d", "-o", "jsonpath={.spec.ports[0].nodePort}").stdout
    assert 30000 <= int(ports) <= 32767
    kubectl("set", "image", "deploy/d", "nginx=nginx:3")
    got = json.loads(kubectl("get", "deploy,svc", "-l", "app=d", "-o", "json").stdout)
    assert {item["kind"] for item in got["items"]} == {"Deployment", "Service"}


def test_unknown_fields_are_refused(kubectl: Kubectl) -> None:
    wrong = WEBAPP.replace("replicas", "replicass").replace("webapp", "other")
    assert 'unknown field "spec.replicass"' in kubectl("create", "-f", "-", stdin=wrong, code=1).stderr
    warned = kubectl("create", "--validate=warn", "-f", "-", stdin=wrong, code=1)  # the Service is there
    assert 'Warning: unknown field "spec.replicass"' in warned.stderr


def test_explain_and_discovery(kubectl: Kubectl) -> None:
    assert "List of containers belonging to the pod" in kubectl("explain", "pod.spec.containers").stdout
    resources = kubectl("api-resources", "-o", "wide").stdout
    assert "deployments" in resources and "po " in resources
    assert "apps/v1" in kubectl("api-versions").stdout.splitlines()
    assert "v1.35.0+sampan" in kubectl("version").stdout
    assert kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_who_am_i_and_may_i(cluster, kubectl: Kubectl) -> None:
    assert "kubernetes-admin" in kubectl("auth", "whoami").stdout
    assert kubectl("auth", "can-i", "create", "pods").stdout == "yes\n"
    token = kubectl("create", "token", "default").stdout.strip()
    keys = cluster.server.pki
    alone = ("--kubeconfig=/dev/null", f"--server={cluster.server.server_url}", f"--token={token}")
    asked = kubectl("auth", "whoami", *alone, f"--certificate-authority={keys.ca}").stdout
    assert "system:serviceaccount:default:default" in asked


def test_logs_and_exec(cluster, kubectl: Kubectl) -> None:
    cluster.run_pod("talker")
    assert kubectl("logs", "talker").stdout == "first\nsecond\n"
    assert kubectl("logs", "talker", "--tail=1").stdout == "second\n"
    assert "previous terminated container" in kubectl("logs", "talker", "--previous", code=1).stderr
    for websockets in ("true", "false"):
        env = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
        said = kubectl("exec", "talker", "--", "echo", "hello", **env)
        assert (said.stdout, said.stderr) == ("hello\n", "said\n")
        assert (
            kubectl("exec", "-i", "talker", "--", "cat", stdin="x" * 300_000, **env).stdout == "x" * 300_000
        )
        kubectl("exec", "talker", "--", "exit", "3", code=3, **env)
        refused = kubectl("exec", "talker", "--", "nothing", code=1, **env)
        assert "executable file not found in $PATH" in refused.stderr


@pytest.fixture
def web(tmp_path) -> Iterator[int]:
    (tmp_path / "page").write_bytes(b"x" * 500_000)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)

        def log_message(self, *args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_port_forward(cluster, web: int, websockets: str) -> None:
    cluster.run_pod(f"web-{websockets}")
    env = {"KUBECONFIG": str(cluster.kubeconfig), "KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets}
    command = [str(KUBECTL), "port-forward", f"web-{websockets}", f":{web}"]
    with subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().split("127.0.0.1:")[1].split(" ")[0]
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=30) as answer:
                    assert len(answer.read()) == 500_000
        finally:
            process.terminate()


def test_a_watch_shows_rows_as_they_come(cluster, kubectl: Kubectl) -> None:
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    command = [str(KUBECTL), "get", "secrets", "--watch"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            time.sleep(0.5)
            kubectl("create", "secret", "generic", "s1", "--from-literal=a=b")
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in range(2)]
            assert lines[0] == ["NAME", "TYPE", "DATA", "AGE"] and lines[1][:3] == ["s1", "Opaque", "1"]
        finally:
            process.terminate()


def test_pods_are_deleted_gracefully_or_by_force(cluster, kubectl: Kubectl) -> None:
    cluster.run_pod("lingers")
    kubectl("delete", "pod", "lingers", "--wait=false")
    assert "Terminating" in kubectl("get", "pod", "lingers").stdout
    kubectl("delete", "pod", "lingers", "--force", "--grace-period=0")
    kubectl("get", "pod", "lingers", code=1)
