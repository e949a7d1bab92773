"""One attempt at one container: its configuration is resolved, then the runtime creates and starts it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import Resource
from sampan.kubelet import hosts, termination
from sampan.kubelet.containerspec import Attempt, PodPlace, container_spec
from sampan.kubelet.containerview import LABEL_START_ERROR, ContainerView
from sampan.kubelet.env import ConfigError, Files, environment, file_references
from sampan.kubelet.parts import Parts
from sampan.kubelet.podview import PodView
from sampan.kubelet.runtime.contract import ContainerSpec, Exit, Record, RuntimeFault
from sampan.kubelet.volumes.contract import SubPathFault, VolumeFault

START_ERROR_CODE = 128
KEPT_ATTEMPTS = 2
"""The current and the previous one, whose log `kubectl logs --previous` shows."""


class StartFault(Exception):
    """`reason` is the waiting reason. With a `record` the attempt counts: it is over, by that exit."""

    def __init__(self, reason: str, message: str, record: Record | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.record = reason, message, record


Found = Mapping[tuple[Resource, str], Obj | None]


async def configure(
    parts: Parts, view: PodView, container: ContainerView, container_id: str
) -> ContainerSpec:
    """The order for the runtime; makes the attempt's files. Raises StartFault."""
    pod, image = view.pod, container.image
    assert image is not None
    place = PodPlace(parts.config.pods / view.uid)
    try:
        found = await parts.references.of(pod)
        env = environment(
            pod,
            container.spec,
            lookup=lambda resource, name: found.get((resource, name)),
            services=parts.services(),
            surroundings=parts.surroundings(view.ips),
            image_env=image.env,
            files=await _files(parts, pod, container.spec),
        )
        attempt = Attempt(
            container_id,
            container.attempt,
            image,
            env,
            await parts.volumes.mounts(pod, container.spec, env, parts.runtime.features),
            hosts.uts_hostname(pod, parts.config.cluster_domain, parts.config.node_name),
            _target_id(view, container),
        )
        spec = container_spec(
            pod,
            container.spec,
            attempt,
            place,
            cgroup_root=parts.config.cgroup_root,
            node_memory_bytes=parts.node_memory_bytes,
            default_seccomp=parts.config.default_seccomp,
            features=parts.runtime.features,
        )
    except (ConfigError, SubPathFault, VolumeFault, StatusError, OSError) as error:
        raise StartFault("CreateContainerConfigError", str(error)) from error
    termination.prepare(place.termination_log(container.name, container.attempt))
    return spec


async def _files(parts: Parts, pod: Obj, spec: Obj) -> Files:
    return {named: await parts.volumes.read(pod, *named) for named in set(file_references(spec))}


async def create(parts: Parts, spec: ContainerSpec) -> None:
    """Raises StartFault."""
    try:
        await parts.runtime.create(spec)
    except RuntimeFault as fault:
        await parts.runtime.remove(spec.id)
        if fault.reason in ("RunContainerError", "StartError"):
            raise StartFault("RunContainerError", fault.message, _never_ran(spec)) from fault
        raise StartFault(fault.reason, fault.message) from fault


async def start(parts: Parts, spec: ContainerSpec) -> Record:
    """Raises StartFault."""
    try:
        return await parts.runtime.start(spec.id)
    except RuntimeFault as fault:
        await parts.runtime.remove(spec.id)
        raise StartFault("RunContainerError", fault.message, _never_ran(spec)) from fault


async def discard_old(parts: Parts, view: PodView, container: ContainerView) -> None:
    """Removes attempts that nobody can ask about any more, with their logs."""
    oldest = container.attempt - KEPT_ATTEMPTS + 1
    if oldest < 1:
        return
    for record in parts.runtime.records():
        spec = record.spec
        if spec.sandbox == view.uid and spec.name == container.name and spec.attempt < oldest:
            await parts.runtime.remove(spec.id)
    place = PodPlace(parts.config.pods / view.uid)
    log = place.log(container.name, oldest - 1)
    for path in (*log.parent.glob(f"{log.name}*"), place.termination_log(container.name, oldest - 1)):
        path.unlink(missing_ok=True)


def _target_id(view: PodView, container: ContainerView) -> str:
    """Whose process namespace an ephemeral container joins; raises ConfigError if that one never ran."""
    name = container.spec.get("targetContainerName")
    if not name:
        return ""
    target = view.container(name)
    if target is None or target.record is None:
        raise ConfigError(f"unable to find target container {name}")
    return target.record.spec.id


def new_id() -> str:
    return secrets.token_hex(32)


def _never_ran(spec: ContainerSpec) -> Record:
    """An attempt whose process never was: over as soon as it began, with upstream's exit code."""
    now_s = time.time()
    marked = replace(spec, labels={**spec.labels, LABEL_START_ERROR: "true"})
    return Record(marked, 0, now_s, 0.0, Exit(START_ERROR_CODE, now_s))
