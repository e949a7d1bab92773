"""Which sysctls a Pod may set: safe ones always, others where the node's administrator says so. Pure.

Safe is what a namespace of the Pod's own isolates from everybody else.
Source: tasks/administer-cluster/sysctl-cluster.
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.objects import Obj

SAFE = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ]
)
# Prefix -> (field of the Pod that gives the namespace up, the namespace's name in sentences).
_OWNERS = {
    "net.": ("hostNetwork", "Net"),
    "kernel.shm": ("hostIPC", "IPC"),
    "kernel.msg": ("hostIPC", "IPC"),
    "kernel.sem": ("hostIPC", "IPC"),
    "fs.mqueue.": ("hostIPC", "IPC"),
}


def forbidden(pod: Obj, allowed_unsafe: Sequence[str] = ()) -> str | None:
    """Upstream's sentence about the first that it may not set, if any. `allowed_unsafe`: names, `prefix*`."""
    spec = pod["spec"]
    for sysctl in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = dotted(sysctl["name"])
        if name not in SAFE and not any(_matches(name, pattern) for pattern in allowed_unsafe):
            return f'forbidden sysctl: "{name}" not allowlisted'
        for prefix, (field, namespace) in _OWNERS.items():
            if name.startswith(prefix) and spec.get(field):
                return f'forbidden sysctl: "{name}" not allowed with host {namespace} enabled'
    return None


def dotted(name: str) -> str:
    """The form with dots. In the one with slashes, dots belong to the names between them."""
    if "/" not in name or 0 <= name.find(".") < name.find("/"):
        return name
    return name.translate(str.maketrans("./", "/."))


def _matches(name: str, pattern: str) -> bool:
    pattern = dotted(pattern)
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
