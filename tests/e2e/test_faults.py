"""What is done to a node on purpose: killed at bad moments, stopped, its files torn, its processes shot.

After each of these the cluster comes back by `sampan up` alone, with what it had acknowledged, without a
restart or a new address for what ran, and with nothing left over of what did not.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from harness.host import Traces, processes
from harness.node import LIMIT_S, PROGRAMS, CommandFailed, Node, eventually
from harness.traffic import Load
from mirror import Mirror

UDP_ECHO = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9999))\n"
    "while True: data, peer = s.recvfrom(100); s.sendto(data, peer)"
)
LOOP = ["sh", "-c", "trap 'exit 0' TERM; while true; do echo tick; sleep 0.1; done"]


def deployment(name: str, replicas: int, image: str = "nginx") -> str:
    container = {"name": "nginx", "image": image, "readinessProbe": {"httpGet": {"port": 80}}}
    labels = {"app": name}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
                },
            },
        }
    )


def service(name: str, port: int, protocol: str = "TCP") -> str:
    spec = {"selector": {"app": name}, "ports": [{"port": port, "protocol": protocol}]}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})


def pod(name: str, command: list[str], image: str = "busybox:1.36", grace_s: int = 1) -> str:
    container = {"name": "c", "image": image, "command": command}
    spec = {"terminationGracePeriodSeconds": grace_s, "containers": [container]}
    metadata = {"name": name, "labels": {"app": name}}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


class UdpLoad:
    """One socket that asks and waits, again and again: one flow of connection tracking, one source port."""

    def __init__(self, ip: str, port: int) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._target = (ip, port)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT_S / 2)  # a pause is no loss
            sock.connect(self._target)
            while not self._stopping.is_set():
                try:
                    sock.send(b"ping")
                    sock.recv(100)
                    self.answered += 1
                except OSError as error:
                    self.lost.append(repr(error))
                time.sleep(0.005)

    def __enter__(self) -> UdpLoad:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()


class Victim(Node):
    """A node that can be hurt."""

    def containers(self) -> dict[str, dict[str, Any]]:
        """By Pod name: the state, as it is on disk, of the container that runs."""
        states = [
            json.loads(path.read_text()) for path in (self.data / "containers").glob("*/container.json")
        ]
        return {
            state["spec"]["labels"]["io.kubernetes.pod.name"]: state
            for state in states
            if state["exit"] is None and "io.kubernetes.pod.name" in state["spec"]["labels"]
        }

    def facts(self, app: str) -> set[tuple[str, str, int, str]]:
        return {
            (
                pod["metadata"]["name"],
                pod["status"]["podIP"],
                pod["status"]["containerStatuses"][0]["restartCount"],
                pod["status"]["containerStatuses"][0]["containerID"],
            )
            for pod in self.list("pods", "default", f"app={app}")
        }

    def doubles(self) -> list[object]:
        """Containers of which more than one runs."""
        states = [
            json.loads(path.read_text()) for path in (self.data / "containers").glob("*/container.json")
        ]
        running = Counter(
            (state["spec"]["sandbox"], state["spec"]["name"]) for state in states if state["exit"] is None
        )
        return [each for each, count in running.items() if count > 1]

    def litter(self) -> dict[str, list[str]]:
        """What is on disk of Pods; nothing when there are none."""
        places = ("containers", "run/sandboxes", "run/crun", "run/exits", "pods", "addresses")
        found = {place: sorted(path.name for path in (self.data / place).iterdir()) for place in places}
        found["addresses"] = [name for name in found["addresses"] if name != "last"]
        found["mounts"] = [
            line
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if f"{self.data}/containers" in line or f"{self.data}/run/sandboxes" in line
        ]
        return {place: names for place, names in found.items() if names}

    def status(self, name: str) -> dict[str, Any]:
        """Of the Pod's only container."""
        statuses: list[dict[str, Any]] = self.get("pod", name, "default")["status"]["containerStatuses"]
        return statuses[0]

    def restarted(self, name: str, times: int) -> None:
        eventually(lambda: self.status(name)["ready"] and self.status(name)["restartCount"] == times)


@pytest.fixture(scope="module")
def victim(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    node = Victim(tmp_path_factory.mktemp("victim"), "victim", mirror.url)
    node.up()
    try:
        node.apply(deployment("steady", 2), "default")
        node.apply(service("steady", 80), "default")
        node.apply(pod("echo", ["python3", "-c", UDP_ECHO], "toolbox"), "default")
        node.apply(service("echo", 9999, "UDP"), "default")
        node.rolled_out("steady", "default")
        node.wait_ready("pod/echo", "default")
        yield node
    finally:
        node.down()


def create(node: Victim) -> None:
    node.apply(deployment("moving", 6), "default")


def roll_out(node: Victim) -> None:
    create(node)
    node.rolled_out("moving", "default")
    node.apply(deployment("moving", 6, "nginx:1.27"), "default")


def delete(node: Victim) -> None:
    create(node)
    node.rolled_out("moving", "default")
    node.kubectl("delete", "deployment", "moving", "--wait=false")


@pytest.mark.parametrize("act", [create, roll_out, delete], ids=lambda act: str(act.__name__))
def test_killed_twice_in_the_middle_of(victim: Victim, act: Callable[[Victim], None]) -> None:
    before = victim.facts("steady"), victim.facts("echo")
    address = victim.get("service", "steady", "default")["spec"]["clusterIP"]
    echo = victim.get("service", "echo", "default")["spec"]["clusterIP"]
    moments = random.Random(act.__name__)
    with Load(f"http://{address}/") as load, UdpLoad(echo, 9999) as datagrams:
        act(victim)
        time.sleep(moments.uniform(0.0, 0.5))
        victim.kill()
        victim.up()
        time.sleep(moments.uniform(0.0, 0.3))
        victim.kill()
        victim.up()
        if act is delete:
            eventually(lambda: not victim.list("pods", "default", "app=moving"))
        else:
            victim.rolled_out("moving", "default")
    load.assert_nothing_lost()
    assert datagrams.answered > 50 and not datagrams.lost
    assert (victim.facts("steady"), victim.facts("echo")) == before
    assert victim.doubles() == []
    assert {restarts for _, _, restarts, _ in victim.facts("moving")} <= {0}
    victim.kubectl("delete", "deployment", "moving", "--ignore-not-found")
    eventually(lambda: not victim.list("pods", "default", "app=moving"))
    uids = {pod["metadata"]["uid"] for pod in victim.list("pods", "default")}
    eventually(lambda: set(victim.litter()["pods"]) == uids)
    assert len(victim.litter()["addresses"]) == len(uids)


def test_acknowledged_writes_survive_and_a_torn_log_costs_only_its_tail(victim: Victim) -> None:
    for number in range(20):
        victim.kubectl("create", "configmap", f"kept-{number}")
    victim.kill()
    log = victim.data / "store.db-wal"
    os.truncate(log, log.stat().st_size - 100)
    victim.up()
    names = {each["metadata"]["name"] for each in victim.list("configmaps", "default")}
    assert {f"kept-{number}" for number in range(19)} <= names


def test_conmon_or_init_shot_means_one_restart(victim: Victim) -> None:
    victim.apply(pod("shot", LOOP), "default")
    victim.wait_ready("pod/shot", "default")
    os.kill(victim.containers()["shot"]["init"]["pid"], signal.SIGKILL)
    victim.restarted("shot", 1)
    os.kill(victim.containers()["shot"]["conmon"]["pid"], signal.SIGKILL)
    victim.restarted("shot", 2)
    assert victim.status("shot")["lastState"]["terminated"]["exitCode"] == 137
    assert "tick" in victim.kubectl("logs", "shot").out
    assert victim.doubles() == []
    victim.kubectl("delete", "pod", "shot")


@pytest.mark.parametrize("text", ['{"spec": {"id": ', '{"spec": 5}', ""], ids=["torn", "foreign", "empty"])
def test_state_that_cannot_be_read_restarts_one_container(victim: Victim, text: str) -> None:
    before = victim.facts("steady")
    victim.apply(pod("torn", LOOP), "default")
    victim.wait_ready("pod/torn", "default")
    state = victim.containers()["torn"]
    victim.kill()
    (victim.data / "containers" / state["spec"]["id"] / "container.json").write_text(text)
    (victim.data / "run/sandboxes" / state["spec"]["sandbox"] / "sandbox.json").write_text(text)
    victim.up()
    victim.restarted("torn", 1)
    eventually(lambda: not Path(f"/proc/{state['init']['pid']}").exists())
    assert victim.facts("steady") == before
    victim.kubectl("delete", "pod", "torn")


def test_bundle_that_is_gone_restarts_one_container(victim: Victim) -> None:
    victim.apply(pod("bundle", LOOP), "default")
    victim.wait_ready("pod/bundle", "default")
    state = victim.containers()["bundle"]
    victim.kill()
    bundle = victim.data / "containers" / state["spec"]["id"]
    subprocess.run(["umount", "-l", str(bundle / "rootfs")], check=True)
    shutil.rmtree(bundle)
    victim.up()
    victim.restarted("bundle", 1)
    eventually(lambda: not Path(f"/proc/{state['init']['pid']}").exists())
    victim.kubectl("delete", "pod", "bundle")


def test_stubborn_army_is_gone_after_its_grace_period(victim: Victim) -> None:
    script = "trap '' TERM; i=0; while [ $i -lt 200 ]; do sleep 98765 & i=$((i+1)); done; wait; sleep 98765"
    victim.apply(pod("army", ["sh", "-c", script]), "default")
    victim.wait_ready("pod/army", "default")
    victim.kubectl("delete", "pod", "army")
    assert subprocess.run(["pgrep", "-f", "sleep 98765"], capture_output=True, check=False).stdout == b""


def test_clients_that_vanish_leave_no_process_behind(victim: Victim) -> None:
    victim.apply(pod("asked", LOOP), "default")
    victim.wait_ready("pod/asked", "default")

    def commands() -> set[str]:
        """The crun processes of commands in containers; what else the cluster does is not asked."""
        return {line for line in processes(victim.data) if "crun" in line and " exec " in line}

    clients = [
        subprocess.Popen(
            [str(PROGRAMS / "kubectl"), *words],
            env=victim.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # which nobody reads
            stderr=subprocess.DEVNULL,
        )
        for words in (
            ["exec", "-i", "asked", "--", "cat"],
            ["exec", "-i", "asked", "--", "yes"],
            ["exec", "asked", "--", "sleep", "1000"],
            ["logs", "-f", "asked"],
            ["attach", "-i", "asked"],
        )
    ]
    eventually(lambda: len(commands()) == 3)
    for client in clients:
        client.kill()
        client.communicate()
    eventually(lambda: not commands())
    listed = victim.sh("asked", "default", "ps")
    assert "yes" not in listed and "cat" not in listed and "sleep 1000" not in listed
    victim.kubectl("delete", "pod", "asked")


def test_what_every_cluster_needs_comes_back_or_may_not_go(victim: Victim) -> None:
    before = victim.facts("steady")
    assert victim.kubectl("delete", "namespace", "default", check=False).code == 1
    address = victim.get("service", "kubernetes", "default")["spec"]["clusterIP"]
    victim.kubectl("delete", "service", "kubernetes")
    victim.kubectl("delete", "configmap", "kube-root-ca.crt")
    victim.kubectl("delete", "node", victim.name)
    again = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "thief"}}
    spec = {"clusterIP": address, "ports": [{"port": 80}]}

    def back(kind: str, name: str) -> bool:
        return victim.kubectl("get", kind, name, check=False).code == 0

    eventually(lambda: back("service", "kubernetes") and back("configmap", "kube-root-ca.crt"))
    taken = victim.kubectl("apply", "-f", "-", stdin=json.dumps(again | {"spec": spec}), check=False)
    assert taken.code == 1 and "already allocated" in taken.err
    eventually(lambda: back("node", victim.name))
    eventually(lambda: victim.get("service", "kubernetes", "default")["spec"]["clusterIP"] == address)
    assert victim.facts("steady") == before


def test_reboot_brings_the_pods_back_with_new_addresses(victim: Victim) -> None:
    """A reboot takes all processes, mounts and links, and leaves the files."""
    before = victim.facts("steady")
    victim.kill()
    for path in (victim.data / "containers").glob("*/container.json"):
        state = json.loads(path.read_text())
        for which in ("conmon", "init"):
            if Path(f"/proc/{state[which]['pid']}").exists():
                os.kill(state[which]["pid"], signal.SIGKILL)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        if (point := line.split()[4]).startswith(f"{victim.data}/"):
            subprocess.run(["umount", "-l", point], check=False)
    index = json.loads((victim.data / "addresses.json").read_text())["index"]
    subprocess.run(["ip", "link", "del", f"sampan{index}"], check=False, capture_output=True)
    victim.up()
    victim.rolled_out("steady", "default")
    after = victim.facts("steady")
    assert {name for name, *_ in after} == {name for name, *_ in before}
    assert {restarts for _, _, restarts, _ in after} == {1}
    address = victim.get("service", "steady", "default")["spec"]["clusterIP"]
    eventually(
        lambda: (
            subprocess.run(["curl", "-sf", "-m", "2", "-o", "/dev/null", f"http://{address}/"]).returncode
            == 0
        )
    )


@pytest.fixture
def fresh(mirror: Mirror, tmp_path: Path) -> Iterator[Victim]:
    node = Victim(tmp_path, "fresh", mirror.url)
    try:
        yield node
    finally:
        if node.data.exists():
            node.down()


def start(node: Node, *words: str) -> subprocess.Popen[bytes]:
    argv = [str(PROGRAMS / "sampan"), words[0], "--name", node.name, "--data-dir", str(node.data)]
    rest = ["--kubeconfig", str(node.kubeconfig), *words[1:]]
    return subprocess.Popen([*argv, *rest], env=node.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def shoot_all(node: Node) -> None:
    for line in processes(node.data):
        pid, _, command = line.partition(" ")
        if "sampan up" in command or "sampan down" in command:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


def remains(node: Node) -> dict[str, set[str]]:
    """What there is of the cluster on this machine, whatever else happens there meanwhile."""
    return Traces(node.data, node.name).look()


def test_killed_while_coming_up_and_going_down(fresh: Victim) -> None:
    moments = random.Random(1)
    for _ in range(5):
        coming = start(fresh, "up", *fresh.mirrors)
        time.sleep(moments.uniform(0.1, 0.6))
        shoot_all(fresh)
        coming.communicate()
    ups = [start(fresh, "up", *fresh.mirrors) for _ in range(3)]
    said = sorted(up.communicate()[0].decode().split(";")[0] for up in ups)
    assert [up.returncode for up in ups] == [0, 0, 0], said
    fresh.up()
    fresh.apply(deployment("many", 8), "default")
    time.sleep(0.4)
    assert remains(fresh)
    going = start(fresh, "down")
    time.sleep(0.15)
    shoot_all(fresh)
    going.communicate()
    if fresh.data.exists():
        fresh.down()
    assert remains(fresh) == {}


def test_store_that_is_no_store_is_said_and_can_be_taken_down(fresh: Victim) -> None:
    fresh.up()
    fresh.kill()
    for path in fresh.data.glob("store.db*"):
        path.write_bytes(os.urandom(5000))
    (fresh.data / "addresses.json").write_text("{")
    with pytest.raises(CommandFailed, match=r"store\.db"):
        fresh.up()
    fresh.down()
    assert remains(fresh) == {}
