"""The proxy subresources of a real cluster, by kubectl and by bare HTTP through `kubectl proxy`."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.node import CommandFailed, Node, eventually, kubectl_path

# Tells what it was sent; /link is a page, /moved a redirect.
SERVER = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        told = {"foo": self.command, "path": self.path, "size": len(body), "by": self.headers.get("X-Forwarded-Uri")}
        page = json.dumps(told).encode()
        kind = "application/json"
        if self.path == "/link":
            page, kind = b'<a href="/rewriteme">x</a>', "text/html"
        self.send_response(302 if self.path == "/moved" else 200)
        if self.path == "/moved":
            self.send_header("Location", "/there")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 1080), Handler).serve_forever()
"""


def stage(node: Node, namespace: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "teller", "labels": {"app": "teller"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "c",
                    "image": "toolbox",
                    "command": ["python3", "-c", SERVER],
                    "ports": [{"containerPort": 1080, "name": "dest"}],
                    "readinessProbe": {"tcpSocket": {"port": "dest"}},
                }
            ],
        },
    }
    ports = [
        {"name": "one", "port": 80, "targetPort": "dest"},
        {"name": "two", "port": 81, "targetPort": 1080},
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "teller"},
        "spec": {"selector": {"app": "teller"}, "ports": ports},
    }
    node.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod, service]}), namespace)
    node.wait_ready("pod/teller", namespace)


@contextmanager
def proxied(node: Node) -> Iterator[int]:
    """`kubectl proxy` and its port."""
    words = [kubectl_path(), "proxy", "--port=0"]
    proxy = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=node.env)
    assert proxy.stdout
    try:
        yield int(proxy.stdout.readline().rpartition(":")[2])
    finally:
        proxy.terminate()
        proxy.wait()


def ask(port: int, method: str, path: str, body: bytes = b"") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer, answer.read()


def test_every_way_to_a_pod_and_a_service(node: Node, namespace: str) -> None:
    stage(node, namespace)
    base = f"/api/v1/namespaces/{namespace}"
    names = ["pods/teller", "pods/teller:1080", "pods/http:teller:1080"]
    names += ["services/teller:one", "services/http:teller:80", "services/teller:two"]
    for name in names:
        told = json.loads(node.kubectl("get", "--raw", f"{base}/{name}/proxy/some/path?x=y").out)
        assert (told["foo"], told["path"]) == ("GET", "/some/path?x=y")
        assert told["by"] == f"{base}/{name}/proxy/some/path"
    with pytest.raises(CommandFailed, match="no endpoints available for service"):
        node.kubectl("get", "--raw", f"{base}/services/teller:three/proxy/")
    refused = r"error trying to reach service: dial tcp [0-9.]+:99: connect: connection refused"
    with pytest.raises(CommandFailed, match=refused):
        node.kubectl("get", "--raw", f"{base}/pods/teller:99/proxy/")


def test_every_method_redirects_and_links(node: Node, namespace: str) -> None:
    stage(node, namespace)
    with proxied(node) as port:
        for name in ("pods/teller", "services/teller:one"):
            base = f"/api/v1/namespaces/{namespace}/{name}/proxy"
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                sent = b"x" * 5_000_000 if method == "POST" else b""
                answer, body = ask(port, method, f"{base}/some/path/with/{method}", sent)
                assert answer.status == 200
                if method != "HEAD":
                    told = json.loads(body)
                    assert (told["foo"], told["size"]) == (method, len(sent))
            for method in ("GET", "HEAD"):
                answer, _ = ask(port, method, f"{base}?method={method}")
                assert answer.status == 301
                assert answer.headers["Location"] == f"{base}/?method={method}"
            answer, _ = ask(port, "GET", f"{base}/moved")
            assert (answer.status, answer.headers["Location"]) == (302, f"{base}/there")
            _, body = ask(port, "GET", f"{base}/link")
            assert body.decode() == f'<a href="{base}/rewriteme">x</a>'


def test_the_node_itself(node: Node, namespace: str) -> None:
    stage(node, namespace)
    (name,) = [item["metadata"]["name"] for item in node.list("nodes", "")]
    for port in ("", ":10250"):
        assert node.kubectl("get", "--raw", f"/api/v1/nodes/{name}{port}/proxy/healthz").out == "ok"
        listing = node.kubectl("get", "--raw", f"/api/v1/nodes/{name}{port}/proxy/logs/").out
        assert '<a href="pods/">' in listing
    words = ("get", "--raw", f"/api/v1/nodes/{name}/proxy/containerLogs/{namespace}/teller/c")
    assert node.kubectl(*words).out == ""
    pods = json.loads(node.kubectl("get", "--raw", f"/api/v1/nodes/{name}/proxy/pods").out)
    assert "teller" in {item["metadata"]["name"] for item in pods["items"]}
    uid = node.get("pod", "teller", namespace)["metadata"]["uid"]
    log = f"/api/v1/nodes/{name}/proxy/logs/pods/{namespace}_teller_{uid}/c/0.log"
    eventually(lambda: node.kubectl("get", "--raw", log).code == 0)
