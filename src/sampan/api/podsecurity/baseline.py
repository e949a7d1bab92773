"""Checks of level baseline: no known way to more privileges. (metadata, spec) -> Violation or None."""

from __future__ import annotations

from collections.abc import Set

from sampan.api import apparmor
from sampan.api.errors import show
from sampan.api.objects import Obj
from sampan.api.podsecurity.wording import (
    Violation,
    containers,
    contexts,
    guilty,
    named,
    own_users,
    quoted,
    setters,
    several,
)

SECCOMP_POD_ANNOTATION = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_ANNOTATION = "container.seccomp.security.alpha.kubernetes.io/"

_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_SELINUX_TYPES = frozenset(["", "container_t", "container_init_t", "container_kvm_t"])
_SELINUX_TYPES_1_31 = _SELINUX_TYPES | {"container_engine_t"}
_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    ]
)
_SYSCTLS_1_27 = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_1_29 = _SYSCTLS_1_27 | {
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
_SYSCTLS_1_32 = _SYSCTLS_1_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


def app_armor(metadata: Obj, spec: Obj) -> Violation | None:
    shared = _type(spec.get("securityContext") or {}, "appArmorProfile")
    own = {name: _type(context, "appArmorProfile") for name, context in contexts(spec)}
    allowed = ("", "RuntimeDefault", "Localhost")
    bad = [name for name, kind in own.items() if kind not in allowed]
    values = sorted({kind for kind in (shared, *own.values()) if kind not in allowed})
    annotations = sorted(
        f"{key}={show(value)}"
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(apparmor.PREFIX) and not _allowed_app_armor(value)
    )
    who = [setters(shared not in allowed, bad)] if values else []
    who += [several("annotation", annotations)] if annotations else []
    if not who:
        return None
    values += annotations
    return Violation(
        several("forbidden AppArmor profile", values),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}",
    )


def _allowed_app_armor(value: str) -> bool:
    return value in ("", "runtime/default") or value.startswith("localhost/")


def capabilities(metadata: Obj, spec: Obj) -> Violation | None:
    added = {name: _added(context) - _CAPABILITIES for name, context in contexts(spec)}
    bad = [name for name, extra in added.items() if extra]
    if not bad:
        return None
    listed = quoted(sorted(set().union(*added.values())))
    detail = f"{named('container', bad)} must not include {listed} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def _added(context: Obj) -> Set[str]:
    return set((context.get("capabilities") or {}).get("add") or ())


def host_namespaces(metadata: Obj, spec: Obj) -> Violation | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(metadata: Obj, spec: Obj) -> Violation | None:
    bad = [
        volume.get("name", "") for volume in spec.get("volumes") or () if volume.get("hostPath") is not None
    ]
    return Violation("hostPath volumes", named("volume", bad)) if bad else None


def host_ports(metadata: Obj, spec: Obj) -> Violation | None:
    used = {
        container.get("name", ""): {
            str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")
        }
        for container in containers(spec)
    }
    bad = [name for name, ports in used.items() if ports]
    if not bad:
        return None
    ports = sorted(set().union(*used.values()))
    uses = several("uses", bad, "use")
    detail = f"{named('container', bad)} {uses} {several('hostPort', ports)} {', '.join(ports)}"
    return Violation("hostPort", detail)


def probe_hosts(metadata: Obj, spec: Obj) -> Violation | None:
    asked: dict[str, set[str]] = {}
    for container in containers(spec):
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        hosts = {
            ((handler or {}).get(action) or {}).get("host") or ""
            for handler in handlers
            for action in ("httpGet", "tcpSocket")
        } - {""}
        if hosts:
            asked.setdefault(container.get("name", ""), set()).update(hosts)
    if not asked:
        return None
    bad, listed = sorted(asked), sorted(set().union(*asked.values()))
    uses, what = several("uses", bad, "use"), several("probe or lifecycle host", listed)
    return Violation("probe or lifecycle host", f"{named('container', bad)} {uses} {what} {quoted(listed)}")


def privileged(metadata: Obj, spec: Obj) -> Violation | None:
    bad = guilty(spec, lambda context: bool(context.get("privileged")))
    detail = f"{named('container', bad)} must not set securityContext.privileged=true"
    return Violation("privileged", detail) if bad else None


def proc_mount(metadata: Obj, spec: Obj) -> Violation | None:
    found = {name: context.get("procMount") or "Default" for name, context in contexts(spec)}
    bad = [name for name, kind in found.items() if kind != "Default"]
    if not bad:
        return None
    kinds = quoted(sorted({found[name] for name in bad}))
    return Violation(
        "procMount", f"{named('container', bad)} must not set securityContext.procMount to {kinds}"
    )


def proc_mount_1_35(metadata: Obj, spec: Obj) -> Violation | None:
    return None if own_users(spec) else proc_mount(metadata, spec)


def selinux(metadata: Obj, spec: Obj) -> Violation | None:
    return _selinux(spec, _SELINUX_TYPES)


def selinux_1_31(metadata: Obj, spec: Obj) -> Violation | None:
    return _selinux(spec, _SELINUX_TYPES_1_31)


def _selinux(spec: Obj, types: Set[str]) -> Violation | None:
    def options(context: Obj) -> Obj:
        return context.get("seLinuxOptions") or {}

    def bad(context: Obj) -> bool:
        asked = options(context)
        return (asked.get("type") or "") not in types or bool(asked.get("user") or asked.get("role"))

    shared = spec.get("securityContext") or {}
    who = setters(bad(shared), guilty(spec, bad))
    if not who:
        return None
    asked = [options(context) for context in (shared, *(context for _, context in contexts(spec)))]
    wrong = sorted({option.get("type") or "" for option in asked} - types)
    what = [named("type", wrong)] if wrong else []
    what += [f"{field} may not be set" for field in ("user", "role") if any(o.get(field) for o in asked)]
    detail = f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}"
    return Violation("seLinuxOptions", detail)


def seccomp_1_0(metadata: Obj, spec: Obj) -> Violation | None:
    """By the annotations that came before the fields."""
    annotations = metadata.get("annotations") or {}
    keys = [SECCOMP_POD_ANNOTATION, *(SECCOMP_ANNOTATION + name for name, _ in contexts(spec))]
    bad = sorted(
        f"{key}={show(annotations[key])}"
        for key in set(keys) & annotations.keys()
        if annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    detail = f"forbidden {several('annotation', bad)} {', '.join(bad)}"
    return Violation("seccompProfile", detail) if bad else None


def seccomp(metadata: Obj, spec: Obj) -> Violation | None:
    return forbidden_seccomp(spec)


def forbidden_seccomp(spec: Obj) -> Violation | None:
    """Profiles that somebody names and nobody may have."""

    def bad(context: Obj) -> bool:
        return _type(context, "seccompProfile") not in ("", "RuntimeDefault", "Localhost")

    shared = spec.get("securityContext") or {}
    who = setters(bad(shared), guilty(spec, bad))
    if not who:
        return None
    kinds = sorted(
        {
            _type(context, "seccompProfile")
            for context in (shared, *(context for _, context in contexts(spec)))
            if bad(context)
        }
    )
    return Violation(
        "seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {quoted(kinds)}"
    )


def _type(context: Obj, field: str) -> str:
    return (context.get(field) or {}).get("type") or ""


def sysctls(metadata: Obj, spec: Obj) -> Violation | None:
    return _sysctls(spec, _SYSCTLS)


def sysctls_1_27(metadata: Obj, spec: Obj) -> Violation | None:
    return _sysctls(spec, _SYSCTLS_1_27)


def sysctls_1_29(metadata: Obj, spec: Obj) -> Violation | None:
    return _sysctls(spec, _SYSCTLS_1_29)


def sysctls_1_32(metadata: Obj, spec: Obj) -> Violation | None:
    return _sysctls(spec, _SYSCTLS_1_32)


def _sysctls(spec: Obj, allowed: Set[str]) -> Violation | None:
    listed = (spec.get("securityContext") or {}).get("sysctls") or ()
    bad = [sysctl["name"] for sysctl in listed if sysctl["name"] not in allowed]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def host_process(metadata: Obj, spec: Obj) -> Violation | None:
    def bad(context: Obj) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    who = setters(bad(spec.get("securityContext") or {}), guilty(spec, bad))
    detail = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail) if who else None
