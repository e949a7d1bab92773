"""The life of a cluster: up, up again, killed, up again, down, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.host import Traces
from harness.node import PROGRAMS, Node, eventually, run
from mirror import Mirror

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: nginx, image: nginx, readinessProbe: {httpGet: {port: 80}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


@pytest.fixture
def own(mirror: Mirror, tmp_path: Path) -> Iterator[Node]:
    """A cluster of the test's own, down again whatever happens."""
    node = Node(tmp_path, "life", mirror.url)
    try:
        yield node
    finally:
        if node.data.exists():
            node.down()


def killed(node: Node) -> None:
    os.kill(node.pid, signal.SIGKILL)
    eventually(lambda: node.sampan("status").code != 0)


def test_down_leaves_nothing(own: Node) -> None:
    traces = Traces(own.data, own.name)
    own.up()
    own.apply(WEB, "default")
    own.rolled_out("web", "default")
    assert traces.look().keys() == {"processes", "mounts", "links", "routes", "cgroups", "namespaces"}
    own.down()
    assert traces.look() == {}
    assert not own.data.exists()
    assert "sampan-life" not in own.kubeconfig.read_text()


def test_down_after_a_kill_leaves_nothing(own: Node) -> None:
    traces = Traces(own.data, own.name)
    own.up()
    own.apply(WEB, "default")
    own.rolled_out("web", "default")
    killed(own)
    for top in traces.look()["cgroups"]:
        if Path(top).name.startswith("sampan-life"):
            Path(top, "pod-that-nothing-on-disk-tells-of").mkdir()
    own.down()
    assert traces.look() == {}


def test_up_after_kill_adopts_running_pods(own: Node) -> None:
    own.up()
    own.apply(WEB, "default")
    own.rolled_out("web", "default")

    def facts() -> set[tuple[str, str, int, str]]:
        return {
            (
                pod["metadata"]["name"],
                pod["status"]["podIP"],
                pod["status"]["containerStatuses"][0]["restartCount"],
                pod["status"]["containerStatuses"][0]["containerID"],
            )
            for pod in own.list("pods", "default")
        }

    before = facts()
    address = own.get("service", "web", "default")["spec"]["clusterIP"]
    killed(own)
    # The data plane is the kernel's: it serves on with nobody at the helm.
    subprocess.run(["curl", "-sSf", "-m", "20", "-o", "/dev/null", f"http://{address}/"], check=True)
    own.up()
    time.sleep(1)
    assert facts() == before
    own.rolled_out("web", "default")
    subprocess.run(["curl", "-sSf", "-m", "20", "-o", "/dev/null", f"http://{address}/"], check=True)
    pod = own.list("pods", "default")[0]["metadata"]["name"]
    assert own.sh(pod, "default", "hostname").strip() == pod
    assert own.kubectl("logs", pod, "-n", "default").code == 0


def test_second_up_is_harmless(own: Node) -> None:
    own.up()
    pid = own.pid
    output = own.up()
    assert own.pid == pid and "already" in output.out + output.err


def test_an_up_that_meets_another_waits_for_it_and_adds_what_it_asks_for(own: Node) -> None:
    with ThreadPoolExecutor() as pool:
        first = pool.submit(own.up)
        eventually((own.data / "cluster.json").exists)
        second = own.up("--nodes", "2")
        assert "is up in" in first.result().out
    assert "has 2 nodes" in second.out
    refused = own.sampan("up", "--overlay")
    assert refused.code == 1 and "--overlay" in refused.err


def test_status_and_kubeconfig(own: Node) -> None:
    refused = own.sampan("status")
    assert refused.code == 1 and "sampan up" in refused.err
    own.up()
    assert "Ready" in own.sampan("status").out
    assert "certificate-authority-data" in own.sampan("kubeconfig").out
    assert oct(own.kubeconfig.stat().st_mode)[-3:] == "600"


def test_images_by_hand(own: Node, mirror: Mirror) -> None:
    own.up()
    own.sampan("image", "pull", "busybox:1.36")
    assert "busybox" in own.sampan("image", "ls").out
    archive = own.work / "mine.tar"
    source = f"oci:{mirror.work / 'layouts/busybox'}:latest"
    target = f"oci-archive:{archive}:example.test/mine:1"
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", source, target], check=True)
    imported = own.sampan("image", "import", str(archive))
    assert imported.code == 0 and "example.test/mine:1" in own.sampan("image", "ls").out
    own.kubectl(*("run", "mine", "--image=example.test/mine:1", "--restart=Never", "--", "echo", "hi"))
    eventually(lambda: own.get("pod", "mine", "default")["status"]["phase"] == "Succeeded")
    assert own.sampan("image", "rm", "example.test/mine:1").code == 0
    assert "example.test/mine" not in own.sampan("image", "ls").out


def test_missing_host_tool_is_named_with_its_package(tmp_path: Path) -> None:
    env = {**os.environ, "PATH": str(tmp_path)}
    output = run(
        [str(PROGRAMS / "sampan"), "up", "--name", "bare", "--data-dir", str(tmp_path / "data")], env=env
    )
    assert output.code == 1
    assert "crun" in output.err and "apt-get install" in output.err


def test_an_ordinary_user_is_told_what_is_missing(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    program = (
        "import os, sys; from sampan.cli import main, up; "
        "os.setgid(65534); os.setuid(65534); sys.exit(main.main())"
    )
    words = ["up", "--name", "mine", "--data-dir", str(tmp_path / "data")]
    output = run([sys.executable, "-c", program, *words])
    assert output.code == 1 and "root" in output.err


def test_name_that_cannot_be(tmp_path: Path) -> None:
    output = run([str(PROGRAMS / "sampan"), "up", "--name", "Not a name"])
    assert output.code == 1 and "cannot be a cluster's name" in output.err


def test_full_disk_is_said_and_loses_nothing(mirror: Mirror, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], check=True)
    node = Node(place, "full", mirror.url)
    try:
        node.up()
        node.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        ballast = place / "ballast"
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass
        big = "y" * 200_000

        def refused() -> bool:
            output = node.kubectl(
                "create",
                "configmap",
                f"n{time.monotonic_ns()}",
                f"--from-literal=a={big[:100_000]}",
                check=False,
            )
            return output.code != 0 and ("full" in output.err or "space" in output.err)

        eventually(refused)
        assert node.get("configmap", "kept", "default")["data"] == {"a": "b"}
        ballast.unlink()
        eventually(
            lambda: node.kubectl("create", "configmap", f"n{time.monotonic_ns()}", check=False).code == 0
        )
        assert node.list("nodes", "default")[0]["status"]["conditions"]
        os.kill(node.pid, signal.SIGKILL)
        node.up()
        assert node.get("configmap", "kept", "default")["data"] == {"a": "b"}
    finally:
        node.down()
        subprocess.run(["umount", str(place)], check=False)
