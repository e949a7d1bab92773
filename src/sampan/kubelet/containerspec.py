"""The runtime's order for one attempt at a container, from everything that has a say in it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.api.objects import Obj, name_of, namespace_of, uid_of
from sampan.kubelet import command, qos, termination
from sampan.kubelet.containerview import (
    LABEL_ATTEMPT,
    LABEL_CONTAINER,
    LABEL_HASH,
    LABEL_IMAGE,
    LABEL_IMAGE_ID,
    LABEL_NAMESPACE,
    LABEL_POD,
    LABEL_UID,
    spec_hash,
)
from sampan.kubelet.images.contract import Image
from sampan.kubelet.runtime.contract import PLAIN, ContainerSpec, Features, Mount
from sampan.kubelet.security import security

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOSTS, RESOLV_CONF = "/etc/hosts", "/etc/resolv.conf"


@dataclass(frozen=True, slots=True)
class PodPlace:
    """Where a Pod's own things lie on the node.

    Containers have a directory each by their name; all other names have a dot, which no container's has.
    """

    base: Path
    """The Pod's directory."""

    @property
    def hosts(self) -> Path:
        return self.base / "etc.hosts"

    @property
    def resolv_conf(self) -> Path:
        return self.base / "resolv.conf"

    def log(self, container: str, attempt: int) -> Path:
        return self.base / container / f"{attempt}.log"

    def termination_log(self, container: str, attempt: int) -> Path:
        return self.base / container / f"{attempt}.message"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: `id` is used once."""

    id: str
    number: int
    image: Image
    env: Mapping[str, str]
    mounts: Sequence[Mount]
    hostname: str
    pid_of: str = ""
    """The container whose process namespace it joins."""


def container_spec(
    pod: Obj,
    container: Obj,
    attempt: Attempt,
    place: PodPlace,
    *,
    cgroup_root: str,
    node_memory_bytes: int,
    default_seccomp: str,
    features: Features = PLAIN,
) -> ContainerSpec:
    """Raises ConfigError when the security context cannot be kept."""
    image = attempt.image
    env = {"PATH": PATH, "HOSTNAME": attempt.hostname, **attempt.env}
    if container.get("tty"):
        env.setdefault("TERM", "xterm")
    cgroup = f"{qos.pod_cgroup(cgroup_root, pod)}/{attempt.id}"
    return ContainerSpec(
        id=attempt.id,
        sandbox=uid_of(pod),
        name=container["name"],
        attempt=attempt.number,
        lower_dirs=image.lower_dirs,
        argv=command.argv(container, image, attempt.env),
        env=env,
        cwd=container.get("workingDir") or image.working_dir or "/",
        user=image.user,
        mounts=(*attempt.mounts, *_own_mounts(container, attempt, place)),
        log_path=str(place.log(container["name"], attempt.number)),
        cgroup=cgroup,
        resources=qos.container_resources(pod, container, node_memory_bytes),
        security=security(pod, container, image, default_seccomp=default_seccomp, features=features),
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        stop_signal=_stop_signal(container, image),
        pid_of=attempt.pid_of,
        labels={
            LABEL_UID: uid_of(pod),
            LABEL_POD: name_of(pod),
            LABEL_NAMESPACE: namespace_of(pod),
            LABEL_CONTAINER: container["name"],
            LABEL_ATTEMPT: str(attempt.number),
            LABEL_HASH: spec_hash(container),
            LABEL_IMAGE: image.reference,
            LABEL_IMAGE_ID: image_id(image),
        },
    )


def image_id(image: Image) -> str:
    """`docker.io/library/nginx@sha256:...`"""
    name = image.reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}@{image.digest}"


def _own_mounts(container: Obj, attempt: Attempt, place: PodPlace) -> list[Mount]:
    """The files every container gets, unless it mounts something else there."""
    termination_path = container.get("terminationMessagePath") or termination.DEFAULT_PATH
    own = {
        HOSTS: place.hosts,
        RESOLV_CONF: place.resolv_conf,
        termination_path: place.termination_log(container["name"], attempt.number),
    }
    taken = {mount.target for mount in attempt.mounts}
    return [Mount(str(path), target) for target, path in own.items() if target not in taken]


def _stop_signal(container: Obj, image: Image) -> str:
    asked = (container.get("lifecycle") or {}).get("stopSignal")
    signal = str(asked or image.stop_signal or "SIGTERM")
    return signal if signal.startswith("SIG") or signal.isdigit() else f"SIG{signal}"
