"""A Service with servers behind it that count who comes too late: what tests of lost traffic look at."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Set
from pathlib import Path

from harness.node import Node, eventually
from harness.traffic import Load

SERVANT = (Path(__file__).parent / "servant.py").read_text()
UNREADY = "/tmp/unready"
"""A server is not ready while it has this file."""
CLIENTS = 2
"""How many at most ask over one protocol."""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: blue}
  ports: [{name: http, port: 80}, {name: udp, port: 5353, protocol: UDP}]
"""


def deployment(name: str, replicas: int, results: Path) -> str:
    container = {
        "name": "main",
        "image": "toolbox",
        "command": ["python3", "-c", SERVANT],
        "readinessProbe": {
            "exec": {"command": ["sh", "-c", f"test ! -e {UNREADY} && curl -sf localhost >/dev/null"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
            "timeoutSeconds": 10,
        },
        "volumeMounts": [{"name": "results", "mountPath": "/results"}],
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 20,
            "containers": [container],
            "volumes": [{"name": "results", "hostPath": {"path": str(results)}}],
        },
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return json.dumps(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    )


class Shop:
    """A Service with three servers behind it, and the counts of those that ended."""

    namespace = "default"

    def __init__(self, node: Node, results: Path) -> None:
        self.node, self.results = node, results

    def open(self) -> None:
        self.node.apply(deployment("blue", 3, self.results), self.namespace)
        self.node.apply(SERVICE, self.namespace)
        self.node.rolled_out("blue", self.namespace)
        eventually(lambda: len(self.ready()) == 3)

    def kubectl(self, *words: str) -> None:
        self.node.kubectl("-n", self.namespace, *words)

    @property
    def address(self) -> str:
        found: str = self.node.get("service", "web", self.namespace)["spec"]["clusterIP"]
        return found

    def ready(self) -> set[str]:
        """Names of the Pods to which new connections go, as the API says."""
        return {
            endpoint["targetRef"]["name"]
            for piece in self.node.list("endpointslices", self.namespace, "kubernetes.io/service-name=web")
            for endpoint in piece.get("endpoints") or ()
            if endpoint["conditions"]["ready"]
        }

    def pods(self, selector: str = "app=blue") -> list[str]:
        return [pod["metadata"]["name"] for pod in self.node.list("pods", self.namespace, selector)]

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Neither clients may notice anything while the block runs, nor servers that were told to end."""
        before = self.ended()
        with self.clients() as clients:
            yield
        try:
            for load in clients:
                load.assert_nothing_lost()
            late = self.late(before)
            assert not late, late
        except AssertionError as error:
            error.add_note("\n".join(json.dumps(load.results) for load in clients))
            error.add_note((self.node.data / "sampan.log").read_text()[-10_000:])
            raise

    @contextlib.contextmanager
    def clients(self, max_s: float = 120, pause_s: float | None = None) -> Iterator[tuple[Load, Load]]:
        """One that connects anew, one that keeps its connection, and one by UDP."""
        web, echo = f"http://{self.address}/", f"udp://{self.address}:5353"
        with (
            Load(web, max_s=max_s, pause_s=pause_s) as load,
            Load(echo, modes=("udp",), max_s=max_s, pause_s=pause_s) as datagrams,
        ):
            yield load, datagrams

    def late(self, before: Set[str] = frozenset()) -> dict[str, dict[str, dict[str, int]]]:
        """By Pod that has ended, but for those that had `before`: what came when it had been told to end.

        Each of the clients may have had one connection or datagram on its way; none may send a later one.
        """
        counts = {name: json.loads((self.results / name).read_text()) for name in self.ended() - before}
        return {
            name: count
            for name, count in counts.items()
            if any(count["late"].values()) or max(count["on their way"].values()) > CLIENTS
        }

    def ended(self) -> set[str]:
        """Names of the counts of Pods that have ended."""
        return {path.name for path in self.results.glob("*.json")}
