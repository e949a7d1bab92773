"""Rules of security contexts, of Pods and of containers."""

from __future__ import annotations

import re

from sampan.api.errors import duplicate, forbidden_value, invalid_value, required
from sampan.api.objects import Obj
from sampan.api.podspec import all_containers
from sampan.api.validation import windows
from sampan.api.validation.check import Errors, between, dicts, one_of, one_of_if_set
from sampan.api.validation.paths import local_path

MAX_ID = 2**31 - 1
PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
SYSCTL_LENGTH = 253
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"^({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}$"
_IPC_SYSCTL = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def pod(path: str, spec: Obj) -> Errors:
    context = spec.get("securityContext") or {}
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        yield from between(f"{path}.{field}", context.get(field), 0, MAX_ID)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from between(f"{path}.supplementalGroups[{index}]", group, 0, MAX_ID)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        sentence = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid_value(f"{path}.shareProcessNamespace", True, sentence)
    yield from _sysctls(f"{path}.sysctls", context, spec)
    choices = ("Always", "OnRootMismatch")
    yield from one_of_if_set(f"{path}.fsGroupChangePolicy", context.get("fsGroupChangePolicy"), choices)
    yield from _seccomp(f"{path}.seccompProfile", context)
    yield from windows.options(f"{path}.windowsOptions", context.get("windowsOptions"))
    yield from _app_armor(f"{path}.appArmorProfile", context)
    choices = ("Merge", "Strict")
    yield from one_of_if_set(
        f"{path}.supplementalGroupsPolicy", context.get("supplementalGroupsPolicy"), choices
    )
    choices = ("MountOption", "Recursive")
    yield from one_of_if_set(f"{path}.seLinuxChangePolicy", context.get("seLinuxChangePolicy"), choices)


def container(path: str, context: Obj | None, *, host_users: bool) -> Errors:
    if not context:
        return
    for field in ("runAsUser", "runAsGroup"):
        yield from between(f"{path}.{field}", context.get(field), 0, MAX_ID)
    if context.get("procMount"):
        yield from one_of(f"{path}.procMount", context["procMount"], ("Default", "Unmasked"))
        if host_users and context["procMount"] == "Unmasked":
            sentence = "`hostUsers` must be false to use `Unmasked`"
            yield invalid_value(f"{path}.procMount", context["procMount"], sentence)
    yield from _seccomp(f"{path}.seccompProfile", context)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            sentence = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield invalid_value(path, context, sentence)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            sentence = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield invalid_value(path, context, sentence)
    yield from windows.options(f"{path}.windowsOptions", context.get("windowsOptions"))
    yield from _app_armor(f"{path}.appArmorProfile", context)


def _sysctls(path: str, context: Obj, spec: Obj) -> Errors:
    seen = set()
    for index, sysctl in dicts(context, "sysctls"):
        at, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            yield required(at)
        elif len(name) > SYSCTL_LENGTH or re.fullmatch(_SYSCTL, name) is None:
            sentence = f"must have at most {SYSCTL_LENGTH} characters and match regex {_SYSCTL}"
            yield invalid_value(at, name, sentence)
        elif name in seen:
            yield duplicate(at, name)
        seen.add(name)
        name = name.replace("/", ".")
        if spec.get("hostNetwork") and name.startswith("net."):
            yield invalid_value(at, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and name.startswith(_IPC_SYSCTL):
            yield invalid_value(at, name, "may not be specified when 'hostIPC' is true")


def _seccomp(path: str, context: Obj) -> Errors:
    profile = context.get("seccompProfile")
    if profile is None:
        return
    kind, file = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    else:
        yield from one_of(f"{path}.type", kind, PROFILE_TYPES)
    if kind == "Localhost":
        if file is None:
            yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            yield from local_path(f"{path}.localhostProfile", file)
    elif file is not None:
        sentence = "can only be set when seccomp type is Localhost"
        yield invalid_value(f"{path}.localhostProfile", profile, sentence)


def _app_armor(path: str, context: Obj) -> Errors:
    profile = context.get("appArmorProfile")
    if profile is None:
        return
    kind, name = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind == "Localhost":
        if not name:
            yield required(f"{path}.localhostProfile", "must be set when AppArmor type is Localhost")
        elif name != name.strip():
            yield invalid_value(f"{path}.localhostProfile", name, "must not be padded with whitespace")
    elif kind not in PROFILE_TYPES:
        yield from one_of(f"{path}.type", kind, PROFILE_TYPES)
    elif name is not None:
        sentence = "can only be set when AppArmor type is Localhost"
        yield invalid_value(f"{path}.localhostProfile", name, sentence)


def host_users(path: str, spec: Obj) -> Errors:
    """A user namespace goes with no other namespace of the host."""
    if spec.get("hostUsers") is not False:
        return
    for field, said in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            yield forbidden_value(f"{path}.{said}", "when `hostUsers` is false")
    for listed, index, container in all_containers(spec):
        if container.get("volumeDevices"):
            at = f"{path}.{listed}[{index}].volumeDevices"
            yield forbidden_value(at, "when `hostUsers` is false")
