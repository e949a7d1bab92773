"""The effective securityContext of a container: its own, then the Pod's, then the image's user. Pure.

Source: tasks/configure-pod-container/security-context.
"""

from __future__ import annotations

from typing import Any

from sampan.api.objects import Obj, name_of, namespace_of, uid_of
from sampan.kubelet.env import ConfigError
from sampan.kubelet.images.contract import Image
from sampan.kubelet.runtime.contract import Security

DEFAULT_SECCOMP = "RuntimeDefault"
"""As a node with `seccompDefault: true`: a container that names no profile gets the runtime's."""


def security(pod: Obj, container: Obj, image: Image, *, default_seccomp: str = DEFAULT_SECCOMP) -> Security:
    """Raises ConfigError when `runAsNonRoot` cannot be kept."""
    shared: Obj = pod["spec"].get("securityContext") or {}
    own: Obj = container.get("securityContext") or {}

    def either(field: str) -> Any:
        value = own.get(field)
        return shared.get(field) if value is None else value

    uid = either("runAsUser")
    if either("runAsNonRoot"):
        _refuse_root(pod, container, image, uid)
    capabilities = own.get("capabilities") or {}
    privileged = bool(own.get("privileged"))
    groups = list(shared.get("supplementalGroups") or ())
    if (fs_group := shared.get("fsGroup")) is not None:
        groups.append(fs_group)
    profile = either("seccompProfile")
    return Security(
        uid=uid,
        gid=either("runAsGroup"),
        groups=tuple(dict.fromkeys(groups)),
        privileged=privileged,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        seccomp="Unconfined" if privileged else _seccomp(profile, default_seccomp),
        unmasked_proc=privileged or own.get("procMount") == "Unmasked",
    )


def _seccomp(profile: Obj | None, default: str) -> str:
    if profile is None:
        return default
    if profile["type"] == "Localhost":
        return f"Localhost/{profile.get('localhostProfile', '')}"
    return str(profile["type"])


def _refuse_root(pod: Obj, container: Obj, image: Image, uid: int | None) -> None:
    where = f'(pod: "{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})", container: {container["name"]})'
    if uid is not None:
        if uid == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    user = image.user.partition(":")[0]
    if user.isdigit():
        if int(user) == 0:
            raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    elif user:
        text = f"container has runAsNonRoot and image has non-numeric user ({user})"
        raise ConfigError(f"{text}, cannot verify user is non-root {where}")
    else:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
