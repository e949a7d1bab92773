"""What a Pod needs before its first container, and how it is given back: volumes, sandbox, address, files."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from sampan.api.errors import StatusError
from sampan.api.objects import Obj, name_of, namespace_of, uid_of
from sampan.api.resources import RUNTIME_CLASSES
from sampan.kubelet import hosts, qos
from sampan.kubelet.containerspec import PodPlace
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.parts import Parts
from sampan.kubelet.resolvconf import resolver
from sampan.kubelet.runtime.contract import RuntimeFault, Sandbox, SandboxSpec
from sampan.kubelet.volumes import removal
from sampan.kubelet.volumes.contract import VolumeFault

NODE_HOSTS = Path("/etc/hosts")

log = logging.getLogger(__name__)


class PrepareFault(Exception):
    """`reason` and text of the Event."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


async def prepare(parts: Parts, pod: Obj) -> tuple[Sandbox, tuple[str, ...]]:
    """(sandbox, addresses). Idempotent; raises PrepareFault, and leaves what was made for `release`."""
    place = PodPlace(parts.config.pods / uid_of(pod))
    place.base.mkdir(parents=True, exist_ok=True)
    parts.references.hold(pod)
    # The sandbox may be up long before a missing ConfigMap is there: each fault is told by itself.
    sandbox, volumes = await asyncio.gather(
        _sandbox(parts, pod), parts.volumes.setup(pod), return_exceptions=True
    )
    for outcome in (volumes, sandbox):
        if isinstance(outcome, BaseException):
            raise _fault(outcome)
    assert isinstance(sandbox, tuple)
    _write_files(parts, pod, place, sandbox[1])
    return sandbox


async def release(parts: Parts, uid: str) -> None:
    """Gives everything back but the logs. Idempotent."""
    await parts.runtime.remove_sandbox(uid)
    await parts.network.detach(uid)
    parts.gate.left(uid)
    await parts.volumes.teardown(uid)
    parts.references.release(uid)


async def forget(parts: Parts, uid: str) -> None:
    """Removes what is left on disk of a Pod that nobody will ask about again."""
    try:
        await asyncio.to_thread(removal.remove, parts.config.pods / uid)
    except OSError as error:
        log.warning("the directory of Pod %s stays: %s", uid, error)


def sandbox_spec(parts: Parts, pod: Obj, handler: str = "") -> SandboxSpec:
    spec = pod["spec"]
    sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
    return SandboxSpec(
        uid=uid_of(pod),
        namespace=namespace_of(pod),
        name=name_of(pod),
        hostname=hosts.uts_hostname(pod, parts.config.cluster_domain, parts.config.node_name),
        cgroup=qos.pod_cgroup(parts.config.cgroup_root, pod),
        host_network=bool(spec.get("hostNetwork")),
        host_ipc=bool(spec.get("hostIPC")),
        host_pid=bool(spec.get("hostPID")),
        share_pid=bool(spec.get("shareProcessNamespace")),
        user_namespace=spec.get("hostUsers") is False,
        handler=handler,
        sysctls={sysctl["name"]: str(sysctl["value"]) for sysctl in sysctls},
        resources=qos.pod_resources(pod, parts.config.pod_pids_limit),
    )


async def _handler(parts: Parts, pod: Obj) -> str:
    """The OCI runtime that the Pod's RuntimeClass names; "" without one. Raises RuntimeFault."""
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return ""
    try:
        found = await parts.client.get(RUNTIME_CLASSES, name)
    except StatusError as error:
        text = f'failed to get sandbox runtime: failed to get RuntimeClass "{name}": {error.message}'
        raise RuntimeFault("FailedCreatePodSandBox", text) from error
    return found["handler"]


async def _sandbox(parts: Parts, pod: Obj) -> tuple[Sandbox, tuple[str, ...]]:
    handler = await _handler(parts, pod)
    sandbox = await parts.runtime.start_sandbox(sandbox_spec(parts, pod, handler))
    if not sandbox.net:
        return sandbox, tuple(parts.network.node_ips)
    addresses = await parts.network.attach(sandbox.uid, sandbox.net)
    await parts.gate.admitted(pod, addresses.ips)
    return sandbox, addresses.ips


def _write_files(parts: Parts, pod: Obj, place: PodPlace, ips: tuple[str, ...]) -> None:
    """In place: a running container that has them mounted sees the new text, and at no time none."""
    domain = parts.config.cluster_domain
    node_hosts = NODE_HOSTS.read_text() if pod["spec"].get("hostNetwork") and NODE_HOSTS.exists() else ""
    found = resolver(pod, parts.node_resolver, parts.config.cluster_dns, domain)
    rewrite(place.hosts, hosts.hosts_file(pod, ips, domain, node_hosts))
    rewrite(place.resolv_conf, found.render())


def rewrite(path: Path, text: str) -> None:
    """The same file with this text. Who reads it meanwhile never finds it empty: a C library that finds no
    name server in resolv.conf asks 127.0.0.1, and fails at once.
    """
    data = text.encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.pread(descriptor, len(data) + 1, 0) != data:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def _fault(error: BaseException) -> BaseException:
    if isinstance(error, VolumeFault):
        return PrepareFault("FailedMount", error.told)
    if isinstance(error, RuntimeFault | NetworkFault | hosts.HostnameTooLong | OSError):
        return PrepareFault("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
    return error
