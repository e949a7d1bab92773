"""Rules of what belongs to one operating system: windowsOptions, and `spec.os` against the rest of a Pod."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sampan.api import names
from sampan.api.errors import forbidden_value, invalid_value
from sampan.api.objects import Obj
from sampan.api.podspec import all_containers
from sampan.api.validation.check import Errors, complain

MAX_CREDENTIAL_SPEC_KIB = 64
MAX_DOMAIN, MAX_USER = 256, 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS = re.compile(
    r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_NOT_IN_USER = re.compile(r'["/\\:;|=,+*?<>@\[\]]')

# What only Linux knows, in upstream's order.
_OF_LINUX_PODS = ("hostPID", "hostIPC", "hostUsers", "shareProcessNamespace")
_FLAGS = ("hostPID", "hostIPC", "sysctls", "supplementalGroups")
"""Said by a true or a filled one only."""
_OF_LINUX_POD_CONTEXTS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
)
_OF_LINUX_CONTEXTS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def options(path: str, found: Obj | None) -> Errors:
    """The `windowsOptions` of a Pod or a container."""
    if not found:
        return
    name, spec, user = (
        found.get(f) for f in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName")
    )
    if name is not None:
        yield from complain(f"{path}.gmsaCredentialSpecName", name, names.dns_subdomain(name))
    if spec == "":
        yield invalid_value(
            f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string"
        )
    elif spec is not None and len(spec) > MAX_CREDENTIAL_SPEC_KIB << 10:
        sentence = f"gmsaCredentialSpec size must be under {MAX_CREDENTIAL_SPEC_KIB} KiB"
        yield invalid_value(f"{path}.gmsaCredentialSpec", spec, sentence)
    if user is not None:
        yield from complain(f"{path}.runAsUserName", user, list(_user(user)))


def _user(name: str) -> Iterator[str]:
    if not name:
        yield "runAsUserName cannot be an empty string"
        return
    if _CONTROL.search(name):
        yield "runAsUserName cannot contain control characters"
    domain, backslash, user = name.rpartition("\\")
    if "\\" in domain:
        yield "runAsUserName cannot contain more than one backslash"
        return
    if backslash:
        if len(domain) >= MAX_DOMAIN:
            yield f"runAsUserName's Domain length must be under {MAX_DOMAIN} characters"
        if not _NETBIOS.fullmatch(domain) and not _DNS.fullmatch(domain):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "runAsUserName's User cannot be empty"
    elif len(user) > MAX_USER:
        yield f"runAsUserName's User length must not be longer than {MAX_USER} characters"
    if user and not user.strip(". "):
        yield "runAsUserName's User cannot contain only periods or spaces"
    if _NOT_IN_USER.search(user):
        yield "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


def host_process(path: str, spec: Obj) -> Errors:
    """Containers that are processes of a Windows host: all of a Pod or none, on the host's network."""
    shared = _asked(spec.get("securityContext"))
    effective = []
    for listed, index, container in all_containers(spec):
        own = _asked(container.get("securityContext"))
        if None not in (shared, own) and shared != own:
            said = str(shared).lower()
            sentence = f"pod hostProcess value must be identical if both are specified, was {said}"
            at = f"{path}.{listed}[{index}].securityContext.windowsOptions.hostProcess"
            yield invalid_value(at, own, sentence)
        effective.append(shared if own is None else own)
    if not any(effective):
        return
    if not all(effective):
        sentence = (
            "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        )
        yield invalid_value(path, "", sentence)
    if not spec.get("hostNetwork"):
        sentence = "hostNetwork must be true if pod contains any hostProcess containers"
        yield invalid_value(f"{path}.hostNetwork", False, sentence)


def _asked(context: Obj | None) -> bool | None:
    return ((context or {}).get("windowsOptions") or {}).get("hostProcess")


def of_system(path: str, spec: Obj) -> Errors:
    """What `spec.os` leaves no room for."""
    system = (spec.get("os") or {}).get("name")
    if system == "windows":
        fields: tuple[str, ...] = _OF_LINUX_CONTEXTS
        sentence = "cannot be set for a windows pod"
        shared = spec.get("securityContext")
        yield from _set(path, spec, _OF_LINUX_PODS, sentence)
        yield from _set(f"{path}.securityContext", shared, _OF_LINUX_POD_CONTEXTS, sentence)
    elif system == "linux":
        fields, sentence = ("windowsOptions",), "windows options cannot be set for a linux pod"
        yield from _set(f"{path}.securityContext", spec.get("securityContext"), fields, sentence)
    else:
        return
    for listed, index, container in all_containers(spec):
        at = f"{path}.{listed}[{index}].securityContext"
        yield from _set(at, container.get("securityContext"), fields, sentence)


def _set(path: str, holder: Obj | None, fields: tuple[str, ...], sentence: str) -> Errors:
    for field in fields:
        value = (holder or {}).get(field)
        if value or (value is not None and field not in _FLAGS):
            yield forbidden_value(f"{path}.{field}", sentence)
