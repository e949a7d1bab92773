from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.api.request import Request, UserInfo
from sampan.api.resources import PODS, SERVICE_ACCOUNTS, Resource
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.apiserver.streams.fake import FakeNode
from sampan.store.sqlite import SqliteStore

KUBECTL = shutil.which("kubectl")
Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass
class Cluster:
    """A server on a thread of its own, for clients that block."""

    server: ApiServer
    loop: asyncio.AbstractEventLoop
    kubeconfig: Path
    node: FakeNode

    def call(self, verb: str, resource: Resource, name: str, body: Obj, sub: str = "") -> Obj:
        transport = self.server.transport(UserInfo("tester", ("system:authenticated",)))
        kind = "application/merge-patch+json"
        request = Request(verb, resource, "default", name, sub, {}, body, kind)
        return asyncio.run_coroutine_threadsafe(transport.call(request), self.loop).result(10)

    def run_pod(self, name: str) -> None:
        """A Pod that says that it runs."""
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}]}
        self.call("create", PODS, "", {"metadata": {"name": name}, "spec": spec})
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.call("patch", PODS, name, {"status": status}, "status")


def write_kubeconfig(server: ApiServer, path: Path) -> None:
    keys = server.pki
    path.write_text(
        f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{server.server_url}", certificate-authority: "{keys.ca}"}}}}]
users: [{{name: u, user: {{client-certificate: "{keys.certificate("admin")}",
  client-key: "{keys.key("admin")}"}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""
    )


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A module may say in `SETTINGS` what the server is to be told."""
    directory = tmp_path_factory.mktemp("cluster")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    node = FakeNode()
    settings = ServerConfig(pki_dir=directory / "pki", **getattr(request.module, "SETTINGS", {}))
    server = ApiServer(settings, SqliteStore(directory / "s.db"), lambda name: node)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
    cluster = Cluster(server, loop, directory / "kubeconfig", node)
    write_kubeconfig(server, cluster.kubeconfig)
    cluster.call("create", SERVICE_ACCOUNTS, "", {"metadata": {"name": "default"}})
    try:
        yield cluster
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def kubectl(cluster, tmp_path_factory) -> Kubectl:
    home = tmp_path_factory.mktemp("home")

    def run(*words: str, stdin: str = "", code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(KUBECTL), *words],
            input=stdin,
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(home), **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done

    return run
