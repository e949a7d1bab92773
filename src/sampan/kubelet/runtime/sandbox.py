"""A Pod's namespaces, alive without a process.

A one-shot thread unshares net, ipc and uts, sets them up from inside, and bind-mounts their /proc files below
the sandbox's directory; the thread ends, the namespaces stay until the mounts go. Nothing else of the process
is touched. The Pod's /dev/shm is a tmpfs beside the pins.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path

from sampan.kubelet.runtime import libc, mounts, oneshot, userns
from sampan.kubelet.runtime.contract import RuntimeFault, Sandbox, SandboxSpec

_FLAGS = {"net": libc.CLONE_NEWNET, "ipc": libc.CLONE_NEWIPC, "uts": libc.CLONE_NEWUTS}

# Prefix of a sysctl that a namespace owns -> that namespace. Everything else belongs to the whole machine.
_SYSCTLS = {
    "net.": "net",
    "kernel.shm": "ipc",
    "kernel.msg": "ipc",
    "kernel.sem": "ipc",
    "fs.mqueue.": "ipc",
    "kernel.domainname": "uts",
}

# As upstream's runtimes have it: low ports and ping need no privilege inside a Pod's own network.
_DEFAULT_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def kinds(spec: SandboxSpec, *, node_has_netns: bool) -> tuple[str, ...]:
    """The namespaces the Pod gets of its own. Where the node is a namespace, its name is not the host's."""
    own: tuple[str, ...] = () if spec.host_network else ("net",)
    own += () if spec.host_ipc else ("ipc",)
    return own if spec.host_network and not node_has_netns else (*own, "uts")


def check_sysctls(sysctls: Mapping[str, str], own: tuple[str, ...]) -> None:
    """Raises RuntimeFault: outside its namespace a sysctl would change the machine."""
    for name in sysctls:
        dotted = name.replace("/", ".")
        owner = next((kind for prefix, kind in _SYSCTLS.items() if dotted.startswith(prefix)), None)
        if owner is None:
            raise _fault(f'sysctl "{name}" is not namespaced')
        if owner not in own or ".." in name:
            raise _fault(f'sysctl "{name}" needs a {owner} namespace, but the Pod uses the host\'s')


async def pin(directory: Path, spec: SandboxSpec, own: tuple[str, ...], first_id: int = 0) -> Sandbox:
    """Makes what is not there yet; `first_id` is root's in the Pod's user namespace. Raises RuntimeFault."""
    check_sysctls(spec.sysctls, own)
    try:
        await oneshot.call(lambda: _pin(directory, spec, own, first_id))
    except OSError as error:
        raise _fault(f"failed to create the Pod's namespaces: {error}") from error
    pins = {kind: str(directory / kind) for kind in own}
    user = str(directory / "user") if first_id else ""
    return Sandbox(spec.uid, pins.get("net", ""), pins.get("ipc", ""), pins.get("uts", ""), user, first_id)


def is_pinned(directory: Path, sandbox: Sandbox, points: list[mounts.MountPoint]) -> bool:
    """Whether the namespaces still exist: pins do not survive a reboot."""
    mounted = {point.target for point in points if point.kind == "nsfs"}
    return all(str(directory / kind) in mounted for kind in (*_FLAGS, "user") if getattr(sandbox, kind))


def unpin(directory: Path) -> None:
    """The namespaces end with their last user. Idempotent; blocking."""
    for name in (*_FLAGS, "user", "shm"):
        path = directory / name
        mounts.detach(path)
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def _pin(directory: Path, spec: SandboxSpec, own: tuple[str, ...], first_id: int) -> None:
    shm = directory / "shm"
    if not spec.host_ipc:
        shm.mkdir(exist_ok=True)
        options = f"mode=1777,size={spec.shm_bytes}"
        libc.mount("shm", str(shm), "tmpfs", libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC, options)
    if first_id:
        with userns.made(own, first_id) as files:
            _keep(directory, files, (*own, "user"))
        for kind in own:
            _join(directory / kind, _FLAGS[kind])
        _set_up(spec, own)
    elif own:
        libc.unshare(sum(_FLAGS[kind] for kind in own))
        _set_up(spec, own)
        _keep(directory, Path(f"/proc/self/task/{threading.get_native_id()}/ns"), own)


def _keep(directory: Path, files: Path, names: tuple[str, ...]) -> None:
    for kind in names:
        target = directory / kind
        target.touch()
        libc.mount(str(files / kind), str(target), flags=libc.MS_BIND)


def _join(path: Path, flag: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.setns(descriptor, flag)
    finally:
        os.close(descriptor)


def _set_up(spec: SandboxSpec, own: tuple[str, ...]) -> None:
    """From inside."""
    if "uts" in own:
        socket.sethostname(spec.hostname)
    if "net" in own:
        _loopback_up()
        _set_sysctls(_DEFAULT_SYSCTLS)
    _set_sysctls(spec.sysctls)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _set_sysctls(sysctls: Mapping[str, str]) -> None:
    for name, value in sysctls.items():
        path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
        try:
            # One write: the kernel takes a value only whole.
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            if name in _DEFAULT_SYSCTLS and sysctls is _DEFAULT_SYSCTLS:
                continue  # a kernel without it; nobody asked for it
            raise _fault(f'sysctl "{name}" cannot be set to "{value}": {error.strerror}') from error


def _fault(message: str) -> RuntimeFault:
    return RuntimeFault("FailedCreatePodSandBox", message)
