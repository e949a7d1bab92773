"""The effective securityContext of a container: its own, then the Pod's, then the image's user. Pure.

Source: tasks/configure-pod-container/security-context.
"""

from __future__ import annotations

from typing import Any

from sampan.api.objects import Obj, name_of, namespace_of, uid_of
from sampan.kubelet.env import ConfigError
from sampan.kubelet.images.contract import Image
from sampan.kubelet.runtime.contract import PLAIN, Features, Security

DEFAULT_SECCOMP = "RuntimeDefault"
"""As a node with `seccompDefault: true`: a container that names no profile gets the runtime's."""


def security(
    pod: Obj,
    container: Obj,
    image: Image,
    *,
    default_seccomp: str = DEFAULT_SECCOMP,
    features: Features = PLAIN,
) -> Security:
    """Raises ConfigError for what cannot be kept: `runAsNonRoot`, or what this node has no word for."""
    shared: Obj = pod["spec"].get("securityContext") or {}
    own: Obj = container.get("securityContext") or {}

    def either(field: str) -> Any:
        value = own.get(field)
        return shared.get(field) if value is None else value

    if either("seLinuxOptions") and not features.selinux:
        raise ConfigError("cannot apply seLinuxOptions: SELinux is not enabled on this node")
    if either("windowsOptions"):
        raise ConfigError("cannot apply windowsOptions: this node runs Linux")
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
        strict_groups=shared.get("supplementalGroupsPolicy") == "Strict",
        privileged=privileged,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        seccomp="Unconfined" if privileged else _seccomp(profile, default_seccomp),
        unmasked_proc=privileged or own.get("procMount") == "Unmasked",
        apparmor=_apparmor(either("appArmorProfile"), privileged) if features.apparmor else "",
        selinux=_selinux(either("seLinuxOptions")),
    )


def _seccomp(profile: Obj | None, default: str) -> str:
    if profile is None:
        return default
    if profile["type"] == "Localhost":
        return f"Localhost/{profile.get('localhostProfile', '')}"
    return str(profile["type"])


def _apparmor(profile: Obj | None, privileged: bool) -> str:
    """RuntimeDefault is what the OCI runtime does by itself."""
    kind = (profile or {}).get("type")
    if kind == "Localhost":
        return str((profile or {}).get("localhostProfile", ""))
    return "unconfined" if kind == "Unconfined" or (profile is None and privileged) else ""


def _selinux(options: Obj | None) -> str:
    if not options:
        return ""
    defaults = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
    return ":".join(options.get(part) or default for part, default in defaults.items())


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
