"""The node agent over the real runtime and network: processes, mounts, addresses, signals."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, condition_of
from sampan.api.resources import CONFIG_MAPS, EVENTS, PODS
from sampan.api.streams import ExecOptions, LogOptions
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.config import KubeletConfig
from sampan.kubelet.images.fake import FakeImages, image
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.network.node import NodeNamespace, ensure_node
from sampan.kubelet.network.veth import VethNetwork
from sampan.kubelet.runtime import mounts
from sampan.kubelet.runtime.crun import CrunRuntime
from sampan.kubelet.runtime.purge import purge
from sampan.kubelet.volumes import removal

pytestmark = pytest.mark.root

CGROUP = f"/sampan-test-{os.getpid()}"


class Node:
    """One real node with an API of dicts."""

    def __init__(self, root: Path, layer: Path, namespace: NodeNamespace) -> None:
        self.root, self.namespace = root, namespace
        self.api = FakeTransport()
        self.images = FakeImages()
        self.images.add(replace(image("busybox", cmd=["sh"]), lower_dirs=(str(layer),)))
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        client = Client(self.api)
        informers = Informers(client)
        self.runtime = CrunRuntime(self.root, node_netns=self.namespace.path)
        self.network = VethNetwork(self.namespace, self.root / "addresses")
        self.events = EventRecorder(client, "kubelet", "node")

        async def drained(pod: Obj) -> None:
            return

        self.kubelet = Kubelet(
            client,
            informers,
            self.events,
            self.runtime,
            self.images,
            self.network,
            self.namespace,
            KubeletConfig("node", self.root, cluster_dns=("10.96.0.10",), cgroup_root=CGROUP),
            drained,
        )
        self._tasks = [asyncio.create_task(informers.run()), asyncio.create_task(self.kubelet.run())]
        waiter = asyncio.create_task(self.kubelet.registered.wait())
        await asyncio.wait([waiter, self._tasks[1]], return_when=asyncio.FIRST_COMPLETED, timeout=60)
        assert waiter.done(), self._tasks[1]

    async def stop(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.wait([task])

    def pod(self, name: str) -> Obj | None:
        return self.api.get(PODS, name, "default")

    async def until(self, holds: Callable[[Obj], object], name: str = "web", within_s: float = 60.0) -> Obj:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            pod = self.pod(name)
            if pod is not None and holds(pod):
                return pod
            await asyncio.sleep(0.002)
        await self.events.flush()
        said = [(event["reason"], event["message"]) for event in self.api.objects(EVENTS)]
        raise AssertionError(f"never so: {self.pod(name)}\n{said}")

    async def delete(self, name: str = "web", grace_s: int = 1) -> None:
        await Client(self.api).delete(PODS, name, namespace="default", grace_period_s=grace_s)
        deadline = time.monotonic() + 60
        while self.pod(name) is not None:
            assert time.monotonic() < deadline, self.pod(name)
            await asyncio.sleep(0.002)

    async def log(self, pod: Obj, **options: Any) -> str:
        chunks = await self.kubelet.logs(pod, LogOptions(**options))
        return b"".join([chunk async for chunk in chunks]).decode()

    async def output(self, name: str, script: str, **spec: Any) -> str:
        """What a shell script prints in a Pod that ends."""
        container = {"name": "web", "image": "busybox", "command": ["sh", "-c", script]}
        container |= spec.pop("container", {})
        self.api.add(make_pod(name, containers=[container], restartPolicy="Never", **spec))
        pod = await self.until(ended, name)
        text = await self.log(pod)
        await self.delete(name)
        return text

    async def run(self, pod: Obj, *command: str) -> tuple[int, str]:
        screen = Screen()
        code = await self.kubelet.exec(pod, ExecOptions(command=command), screen)
        return code, screen.out.decode()


class Screen:
    def __init__(self, *typed: bytes) -> None:
        self.out, self._typed = b"", list(typed)

    async def read_stdin(self) -> bytes:
        return self._typed.pop(0) if self._typed else b""

    async def write_stdout(self, data: bytes) -> None:
        self.out += data

    async def write_stderr(self, data: bytes) -> None:
        self.out += data

    async def next_size(self) -> tuple[int, int]:
        return await asyncio.get_running_loop().create_future()


def make_pod(name: str = "web", **spec: Any) -> Obj:
    default = [{"name": "web", "image": "busybox", "command": ["sleep", "1000"]}]
    containers = spec.pop("containers", default)
    for container in containers:
        container.setdefault("imagePullPolicy", "IfNotPresent")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"nodeName": "node", "restartPolicy": "Always", "containers": containers, **spec},
    }


def ready(pod: Obj) -> bool:
    condition = condition_of(pod, "Ready")
    return condition is not None and condition["status"] == "True"


def ended(pod: Obj) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


@asynccontextmanager
async def making(layer: Path) -> AsyncIterator[Node]:
    base = Path(tempfile.mkdtemp(prefix="sampan-test-", dir="/var/tmp"))
    root = base / "data"
    root.mkdir()
    namespace = await ensure_node(f"t{os.getpid()}", base / "node", base / "plan.json")
    node = Node(root, layer, namespace)
    await node.start()
    try:
        yield node
    finally:
        # First nobody must be left who would start again what is ended.
        await node.stop()
        await purge(root, CGROUP)
        await namespace.remove()
        namespace.close()
        mounts.detach_below(base)
        shutil.rmtree(base)


@pytest.fixture
async def node(busybox_layer: Path) -> AsyncIterator[Node]:
    async with making(busybox_layer) as made:
        yield made


async def test_pod_runs_with_its_own_address_name_and_files(node: Node) -> None:
    node.api.add(make_pod())
    pod = await node.until(ready)
    ip = pod["status"]["podIP"]
    assert (await node.run(pod, "hostname"))[1] == "web\n"
    code, hosts = await node.run(pod, "cat", "/etc/hosts")
    assert code == 0
    assert hosts.startswith("# Kubernetes-managed hosts file.\n")
    assert f"\n{ip}\tweb\n" in hosts
    assert "nameserver 10.96.0.10\n" in (await node.run(pod, "cat", "/etc/resolv.conf"))[1]
    assert ip in (await node.run(pod, "ip", "addr", "show", "eth0"))[1]
    await node.delete()
    for _ in range(500):
        if not list((node.root / "pods").iterdir()):
            break
        await asyncio.sleep(0.01)
    assert not list((node.root / "pods").iterdir())
    assert str(node.root / "pods") not in Path("/proc/self/mountinfo").read_text()


async def test_volumes_env_and_downward_api(node: Node) -> None:
    metadata = {"name": "settings", "namespace": "default"}
    node.api.add(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1", "b": "2"}}
    )
    metadata = {"name": "key", "namespace": "default"}
    node.api.add({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"k": "c2VjcmV0"}})
    volumes = [
        {"name": "conf", "configMap": {"name": "settings", "items": [{"key": "a", "path": "x/a"}]}},
        {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {
            "name": "about",
            "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
    ]
    mounts_of = [
        {"name": "conf", "mountPath": "/conf"},
        {"name": "key", "mountPath": "/key"},
        {"name": "scratch", "mountPath": "/scratch", "subPath": "a/b"},
        {"name": "conf", "mountPath": "/one", "subPath": "x/a"},
        {"name": "memory", "mountPath": "/memory"},
        {"name": "about", "mountPath": "/about"},
    ]
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "GREETING", "value": "hi $(IP)"},
    ]
    script = (
        "cat /conf/x/a; echo; stat -c %a /key/..data/k; cat /key/k; echo; echo x > /scratch/f && ls /scratch;"
        "cat /one; echo; df -k /memory | tail -1 | awk '{print $2}'; cat /about/labels; echo; echo $GREETING;"
        "touch /conf/y 2>&1"
    )
    container = {"volumeMounts": mounts_of, "env": env}
    text = await node.output("vols", script, volumes=volumes, container=container)
    lines = text.splitlines()
    assert lines[:7] == ["1", "400", "secret", "f", "1", "1024", 'app="web"']
    assert lines[7].startswith("hi 10.")
    assert "Read-only file system" in lines[8]


async def test_config_map_change_reaches_the_container(node: Node) -> None:
    metadata = {"name": "settings", "namespace": "default"}
    node.api.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}})
    container = {
        "name": "web",
        "image": "busybox",
        "command": ["sleep", "1000"],
        "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
    }
    node.api.add(
        make_pod(containers=[container], volumes=[{"name": "conf", "configMap": {"name": "settings"}}])
    )
    pod = await node.until(ready)
    await Client(node.api).patch(CONFIG_MAPS, "settings", {"data": {"a": "2"}}, namespace="default")
    for _ in range(100):
        if (await node.run(pod, "cat", "/conf/a"))[1] == "2":
            break
    assert (await node.run(pod, "cat", "/conf/a"))[1] == "2"


async def test_http_readiness_through_the_node(node: Node) -> None:
    container = {
        "name": "web",
        "image": "busybox",
        "command": ["sh", "-c", "sleep 0.3; mkdir /www; echo hi > /www/index.html; httpd -f -p 80 -h /www"],
        "ports": [{"name": "http", "containerPort": 80}],
        # What refuses is asked again soon, however long the period.
        "readinessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 600},
        "livenessProbe": {"tcpSocket": {"port": 80}, "initialDelaySeconds": 1},
    }
    node.api.add(make_pod(containers=[container]))
    pod = await node.until(ready)
    reader, writer = await node.kubelet.port_forward(pod, 80)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert b"hi" in await reader.read()
    writer.close()
    with pytest.raises(StatusError, match="connection refused"):
        await node.kubelet.port_forward(pod, 81)


async def test_exit_codes_reasons_and_messages(node: Node) -> None:
    container = {
        "name": "web",
        "image": "busybox",
        "command": ["sh", "-c", "echo last words > /dev/termination-log; exit 3"],
    }
    node.api.add(make_pod("bad", containers=[container], restartPolicy="Never"))
    pod = await node.until(ended, "bad")
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"], state["message"]) == (3, "Error", "last words\n")
    container = {"name": "web", "image": "busybox", "command": ["/nope"]}
    node.api.add(make_pod("worse", containers=[container], restartPolicy="Never"))
    pod = await node.until(ended, "worse")
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert "nope" in state["message"]


async def test_out_of_memory_is_said(node: Node) -> None:
    container = {
        "name": "web",
        "image": "busybox",
        "command": ["sh", "-c", "tail /dev/zero"],
        "resources": {"limits": {"memory": "16Mi"}},
    }
    # `exec` makes the shell's place the process that grows.
    container["command"] = ["sh", "-c", "exec tail /dev/zero"]
    node.api.add(make_pod(containers=[container], restartPolicy="Never"))
    pod = await node.until(ended)
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (137, "OOMKilled")


async def test_sampan_restart_changes_nothing(node: Node) -> None:
    node.api.add(make_pod())
    pod = await node.until(ready)
    await node.stop()
    await node.start()
    await asyncio.sleep(0.3)
    after = node.pod("web")
    assert after is not None
    assert after["status"] == pod["status"]
    assert (await node.run(after, "true"))[0] == 0
    await node.delete()


async def test_logs_follow_previous_and_tail(node: Node) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.05; done"
    node.api.add(
        make_pod(
            restartPolicy="Never",
            containers=[{"name": "web", "image": "busybox", "command": ["sh", "-c", script]}],
        )
    )
    pod = await node.until(lambda pod: pod["status"]["phase"] == "Running" if "status" in pod else False)
    assert await node.log(pod, follow=True) == "".join(f"line {n}\n" for n in range(1, 6))
    assert await node.log(pod, tail_lines=2) == "line 4\nline 5\n"


async def test_interactive_exec(node: Node) -> None:
    node.api.add(make_pod())
    pod = await node.until(ready)
    screen = Screen(b"echo $((6*7))\n", b"exit 5\n")
    options = ExecOptions(command=["sh"], stdin=True, tty=True)
    assert await asyncio.wait_for(node.kubelet.exec(pod, options, screen), 30) == 5
    assert b"42" in screen.out
    screen = Screen(b"piped")
    options = ExecOptions(command=["cat"], stdin=True)
    assert await asyncio.wait_for(node.kubelet.exec(pod, options, screen), 30) == 0
    assert screen.out == b"piped"


async def test_the_removal_of_volumes_holds_nobody_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """An emptyDir may hold a million files; meanwhile the event loop serves others."""
    loop, remove, served = asyncio.get_running_loop(), removal.remove, list[bool]()

    def slowly(path: Path) -> None:
        turned = threading.Event()
        loop.call_soon_threadsafe(turned.set)
        served.append(turned.wait(30))
        remove(path)

    monkeypatch.setattr(removal, "remove", slowly)
    container = {"name": "web", "image": "busybox", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    container["command"] = ["sh", "-c", "seq 100 | (cd /v; xargs touch)"]
    pod = make_pod("files", containers=[container], volumes=[{"name": "v", "emptyDir": {}}])
    node.api.add(pod | {"spec": pod["spec"] | {"restartPolicy": "Never"}})
    pod = await node.until(ended, "files")
    volumes = node.root / "pods" / pod["metadata"]["uid"] / "volumes"
    for _ in range(3000):
        if not volumes.exists():
            break
        await asyncio.sleep(0.01)
    await node.delete("files")
    assert served and all(served)
