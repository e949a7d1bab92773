"""Checks of level restricted: what hardening asks for on top. (metadata, spec) -> Violation or None."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.podsecurity.baseline import forbidden_seccomp
from sampan.api.podsecurity.wording import (
    Violation,
    contexts,
    guilty,
    named,
    own_users,
    quoted,
    setters,
    several,
    windows,
)

_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)


def privilege_escalation(metadata: Obj, spec: Obj) -> Violation | None:
    bad = guilty(spec, lambda context: context.get("allowPrivilegeEscalation") is not False)
    detail = f"{named('container', bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail) if bad else None


def privilege_escalation_1_25(metadata: Obj, spec: Obj) -> Violation | None:
    return None if windows(spec) else privilege_escalation(metadata, spec)


def capabilities(metadata: Obj, spec: Obj) -> Violation | None:
    listed = {name: context.get("capabilities") or {} for name, context in contexts(spec)}
    keeping = [name for name, asked in listed.items() if "ALL" not in (asked.get("drop") or ())]
    added = {name: set(asked.get("add") or ()) - {"NET_BIND_SERVICE"} for name, asked in listed.items()}
    adding = [name for name, extra in added.items() if extra]
    details = []
    if keeping:
        details.append(f'{named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        extra = quoted(sorted(set().union(*added.values())))
        who = named("container", adding)
        details.append(f"{who} must not include {extra} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def capabilities_1_25(metadata: Obj, spec: Obj) -> Violation | None:
    return None if windows(spec) else capabilities(metadata, spec)


def volumes(metadata: Obj, spec: Obj) -> Violation | None:
    bad: dict[str, str] = {}
    for volume in spec.get("volumes") or ():
        kinds = [key for key in volume if key != "name" and volume[key] is not None]
        if not _VOLUMES.intersection(kinds):
            bad[volume.get("name", "")] = kinds[0] if kinds else "unknown"
    if not bad:
        return None
    kinds = sorted(set(bad.values()))
    uses, what = several("uses", list(bad), "use"), several("restricted volume type", kinds)
    detail = f"{named('volume', list(bad))} {uses} {what} {quoted(kinds)}"
    return Violation("restricted volume types", detail)


def run_as_non_root(metadata: Obj, spec: Obj) -> Violation | None:
    shared = (spec.get("securityContext") or {}).get("runAsNonRoot")
    who = setters(shared is False, guilty(spec, lambda context: context.get("runAsNonRoot") is False))
    if who:
        detail = f"{who} must not set securityContext.runAsNonRoot=false"
        return Violation("runAsNonRoot != true", detail)
    open_ = [] if shared else guilty(spec, lambda context: context.get("runAsNonRoot") is None)
    detail = f"pod or {named('container', open_)} must set securityContext.runAsNonRoot=true"
    return Violation("runAsNonRoot != true", detail) if open_ else None


def run_as_non_root_1_35(metadata: Obj, spec: Obj) -> Violation | None:
    return None if own_users(spec) else run_as_non_root(metadata, spec)


def run_as_user(metadata: Obj, spec: Obj) -> Violation | None:
    def root(context: Obj) -> bool:
        return context.get("runAsUser") == 0

    who = setters(root(spec.get("securityContext") or {}), guilty(spec, root))
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def run_as_user_1_35(metadata: Obj, spec: Obj) -> Violation | None:
    return None if own_users(spec) else run_as_user(metadata, spec)


def seccomp(metadata: Obj, spec: Obj) -> Violation | None:
    forbidden = forbidden_seccomp(spec)
    if forbidden is not None:
        return forbidden
    if (spec.get("securityContext") or {}).get("seccompProfile"):
        return None
    bad = guilty(spec, lambda context: not context.get("seccompProfile"))
    who = f"pod or {named('container', bad)}"
    detail = f'{who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", detail) if bad else None


def seccomp_1_25(metadata: Obj, spec: Obj) -> Violation | None:
    return None if windows(spec) else seccomp(metadata, spec)
