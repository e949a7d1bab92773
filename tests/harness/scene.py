"""A namespace on the node and the official Python client in it: what a conformance test plays in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from harness.node import LIMIT_S, Node, eventually

Manifest = dict[str, Any]


def box(
    command: str | Sequence[str] = "", name: str = "c", image: str = "busybox", **fields: Any
) -> Manifest:
    """A container; a string is a shell's command, no command leaves what the image says."""
    container: Manifest = {"name": name, "image": image, **fields}
    if command:
        container["command"] = ["sh", "-c", command] if isinstance(command, str) else list(command)
    return container


def pod(
    name: str,
    *containers: Manifest,
    labels: Manifest | None = None,
    annotations: Manifest | None = None,
    **spec: Any,
) -> Manifest:
    """A Pod that ends when its containers do, unless `spec` has another restartPolicy."""
    metadata: Manifest = {"name": name}
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    settings = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": list(containers)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**settings, **spec}}


@dataclass
class Scene:
    node: Node
    namespace: str
    api: client.ApiClient

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    def create(self, manifest: Manifest) -> client.V1Pod:
        return self.core.create_namespaced_pod(self.namespace, manifest)

    def get(self, name: str) -> client.V1Pod:
        return self.core.read_namespaced_pod(name, self.namespace)

    def until(
        self, name: str, look: Callable[[client.V1Pod], object], timeout_s: float = LIMIT_S
    ) -> client.V1Pod:
        """The Pod as soon as `look` finds what it wants in it."""

        def found() -> client.V1Pod | None:
            seen = self.get(name)
            return seen if look(seen) else None

        return eventually(found, timeout_s, 0.03)

    def finished(self, manifest: Manifest, phase: str = "Succeeded", container: str = "") -> str:
        """Runs a Pod to its end and returns what it printed."""
        name = self.create(manifest).metadata.name
        ended = self.until(name, lambda seen: seen.status.phase in ("Succeeded", "Failed"))
        log = self.log(name, container)
        assert ended.status.phase == phase, f"{ended.status}\n{log}"
        return log

    def ready(self, manifest: Manifest, timeout_s: float = LIMIT_S) -> client.V1Pod:
        return self.until(self.create(manifest).metadata.name, is_ready, timeout_s)

    def log(self, name: str, container: str = "") -> str:
        chosen = {"container": container} if container else {}
        response = self.core.read_namespaced_pod_log(name, self.namespace, _preload_content=False, **chosen)
        return str(response.data.decode())

    def sh(self, name: str, command: str, container: str = "") -> str:
        """What a command printed in a container, also if it failed."""
        return self.node.sh(name, self.namespace, command, container, check=False)

    def gone(self, name: str, timeout_s: float = LIMIT_S) -> None:
        def look() -> bool:
            try:
                self.get(name)
            except client.ApiException as error:
                return bool(error.status == 404)
            return False

        eventually(look, timeout_s, 0.03)

    def config_map(self, name: str, **data: str) -> None:
        self.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": name}, "data": data})

    def secret(self, name: str, **data: str) -> None:
        self.core.create_namespaced_secret(self.namespace, {"metadata": {"name": name}, "stringData": data})


def is_ready(seen: client.V1Pod) -> bool:
    return condition(seen, "Ready") is not None and condition(seen, "Ready").status == "True"


def condition(seen: client.V1Pod, kind: str) -> Any:
    return next((each for each in seen.status.conditions or () if each.type == kind), None)


def refused(status: int, call: Callable[..., object], *arguments: Any, **named: Any) -> str:
    """The server's words on why it would not."""
    try:
        call(*arguments, **named)
    except client.ApiException as error:
        assert error.status == status, error.body
        return str(error.body)
    raise AssertionError("it was let through")
