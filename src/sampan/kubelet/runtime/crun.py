"""The runtime of real containers: crun (or runc) makes them, conmon keeps them, `containers` knows them.

Below `root`:
    containers/ID/      bundle: container.json (see state), config.json, rootfs (overlay), conmon's files
    run/sandboxes/UID/  sandbox.json; pinned namespaces net, ipc, uts; shm
    run/{crun,runc}/    their own state           run/exits/    exit codes, one file per container
    run/exec/           commands being started    run/seccomp/  compiled filters
All of `run` but the exits and the filters is in memory: no reboot leaves anything of it.

Who may interleave: calls on one container are serialised by its lock, `start_sandbox` and `remove_sandbox` of
one Pod by the Pod's. A container's end is noticed on the loop at any time, also while a call on it waits; it
is written down, then `on_exit` is called, once. Ends that happened while no process looked are found by
`open` and told right after it, so `on_exit` is to be set before.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import orjson

from sampan.kubelet.runtime import (
    attach,
    conmon,
    exec,
    host,
    libc,
    mounts,
    orphans,
    pause,
    process,
    staging,
)
from sampan.kubelet.runtime.builder import Builder
from sampan.kubelet.runtime.cgroup import Cgroups
from sampan.kubelet.runtime.container import Container
from sampan.kubelet.runtime.containers import Containers
from sampan.kubelet.runtime.contract import (
    ContainerSpec,
    ExecProcess,
    Exit,
    Features,
    Record,
    Resources,
    RuntimeFault,
    Sandbox,
    SandboxSpec,
    Stats,
)
from sampan.kubelet.runtime.filters import Filters
from sampan.kubelet.runtime.mountspace import MountSpace
from sampan.kubelet.runtime.oci import OciTools
from sampan.kubelet.runtime.pods import Pod, Pods

log = logging.getLogger(__name__)

EXEC_BYTES = 64 << 20
STATE_BYTES = 256 << 20
"""For what sandboxes and containers are: up to 50 kB of the OCI runtime's own for each container."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class CrunRuntime:
    """Keeps contract.Runtime.

    `node_netns`: path of the network namespace that host-network Pods join; "" is the host's own.
    """

    def __init__(self, root: Path, *, node_netns: str = "", parallel_creates: int = 0) -> None:
        self.root = root.absolute()
        self.node_netns = node_netns
        self.on_exit: Callable[[str, Exit], None] = lambda container_id, exit: None
        self._bundles = self.root / "containers"
        self._run = self.root / "run"
        self._pods_dir = self._run / "sandboxes"
        self._exec_dir = self._run / "exec"
        self._empty = self._run / "empty"
        self._parallel_creates = parallel_creates
        self._closing = ExitStack()
        self._space: MountSpace | None = None

    # -- lifetime

    async def open(self) -> None:
        """Raises RuntimeFault("RuntimeNotReady"), which names the missing packages."""
        self.host = await asyncio.to_thread(host.probe)
        if missing := self.host.missing:
            packages = " ".join(sorted(set(missing.values())))
            text = f"{', '.join(missing)} not found; install with: apt-get install {packages}"
            raise RuntimeFault("RuntimeNotReady", text)
        for gap in self.host.gaps:
            log.info("%s", gap)
        self._tools = OciTools(self.host.tools, self._run)
        states = [tool.state_dir for tool in self._tools]
        for directory in (self._bundles, self._pods_dir, *states, self._exec_dir, self._empty):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        exit_dir = self._run / "exits"
        for directory in (exit_dir, self._run / "seccomp"):
            directory.mkdir(exist_ok=True, mode=0o700)
        mounts.share(self.root)
        # A full disk is no reason why probes should fail, and commands are what makes room again.
        mounts.in_memory(self._exec_dir, EXEC_BYTES)
        for left in self._exec_dir.iterdir():
            left.unlink()
        # What no reboot outlives needs no disk: of the files that a Pod makes, one in three is there.
        for directory in (self._pods_dir, *states):
            if not any(directory.iterdir()):  # a node that an earlier version left keeps them where they are
                mounts.in_memory(directory, STATE_BYTES)
        libc.become_subreaper()
        if orphans.follow():
            self._closing.callback(orphans.unfollow)
        self._cgroups = Cgroups(self.host.layout)
        self._pods = Pods(self._pods_dir, self._cgroups, node_has_netns=bool(self.node_netns))
        if hidden := self.host.layout.hybrid_leftover:
            self._space = MountSpace(hidden, self.root)
            self._closing.callback(self._space.close)
        filters = Filters(self._run / "seccomp", self._run / "crun", self.root / "seccomp", self.host)
        anchor = staging.anchor(self.root)
        builder = Builder(self.host, self._tools, exit_dir, filters, self._space, self.node_netns, anchor)
        self._containers = Containers(
            self._bundles,
            exit_dir,
            self._tools,
            self._cgroups,
            self._pods,
            builder,
            self._ended,
            parallel_creates=self._parallel_creates,
        )
        self._closing.callback(self._containers.close)
        self._containers.open()
        await self._pods.adopt()
        await self._containers.adopt()
        await self._join_space()
        await self._containers.end_homeless()

    async def close(self) -> None:
        self._closing.close()

    # -- what there is

    @property
    def features(self) -> Features:
        return Features(
            handlers=self._tools.names,
            # runc 1.1 cannot mount read-only into a user namespace what others have mounted.
            user_namespaces=("crun",) if self.host.user_namespaces else (),
            recursive_read_only=True,
            apparmor=self.host.apparmor,
            selinux=self.host.selinux,
        )

    def sandboxes(self) -> Sequence[Sandbox]:
        return self._pods.sandboxes()

    def records(self) -> Sequence[Record]:
        return [
            container.record
            for container in self._containers
            if container.state.init is not None and not pause.is_pause(container.state.spec)
        ]

    def stats(self, container_id: str) -> Stats:
        container = self._containers.need(container_id, "StatsError")
        return self._cgroups.stats(self._containers.cgroup_of(container.state.spec))

    def sandbox_stats(self, uid: str) -> Stats:
        """All containers of the Pod together."""
        if (pod := self._pods.get(uid)) is None:
            raise RuntimeFault("StatsError", f"sandbox {uid} does not exist")
        return self._cgroups.stats(pod.state.spec.cgroup)

    def tier_stats(self, path: str) -> Stats:
        return self._cgroups.stats(path)

    # -- sandboxes

    async def start_sandbox(self, spec: SandboxSpec) -> Sandbox:
        _check_name(spec.uid)
        if spec.handler and spec.handler not in self._tools.names:
            text = f'failed to get sandbox runtime: no runtime for "{spec.handler}" is configured'
            raise RuntimeFault("FailedCreatePodSandBox", text)
        if spec.user_namespace and self._tools.choice(spec.handler) not in self.features.user_namespaces:
            who = f'RuntimeClass handler "{spec.handler}"' if spec.handler else "runtime"
            text = f"can't set `spec.hostUsers: false`, {who} does not support user namespaces"
            raise RuntimeFault("FailedCreatePodSandBox", text)
        return await self._pods.start(spec, self._share_processes)

    async def _share_processes(self, pod: Pod) -> None:
        """A Pod with one process namespace for all gets the container that holds it."""
        if not pod.state.spec.share_pid:
            return
        if (tool := self.host.tools.get(pause.TOOL)) is None:
            text = f"shareProcessNamespace needs {pause.TOOL}; install with: apt-get install {pause.TOOL}"
            raise RuntimeFault("FailedCreatePodSandBox", text)
        holder = pause.spec(pod.state.spec, tool, str(self._empty))
        await self.remove(holder.id)  # what an earlier attempt left
        await self.create(holder)
        await self.start(holder.id)

    async def _keep_sharing(self, spec: ContainerSpec) -> None:
        """What holds the shared namespace may have been killed, and with it all in there: it is made anew."""
        pod = self._pods.get(spec.sandbox)
        if pod is None or not pod.state.spec.share_pid or pause.is_pause(spec):
            return
        async with pod.lock:
            holder = self._containers.get(pause.name(pod.state.spec.uid))
            init = holder.state.init if holder is not None and holder.running else None
            if pod.state.sandbox is not None and (init is None or process.is_ending(init)):
                await self._share_processes(pod)

    async def remove_sandbox(self, uid: str) -> None:
        own = [c for c in self._containers if c.state.spec.sandbox == uid]
        await asyncio.gather(*(self.remove(c.id) for c in own if not pause.is_pause(c.state.spec)))
        await self.remove(pause.name(uid))
        await self._pods.remove(uid)

    # -- containers

    async def create(self, spec: ContainerSpec) -> None:
        _check_name(spec.id)
        await self._keep_sharing(spec)
        await self._containers.create(spec)

    async def start(self, container_id: str) -> Record:
        return await self._containers.start(container_id)

    def signal(self, container_id: str, signal_number: int) -> None:
        if (container := self._containers.get(container_id)) is not None:
            container.signal(signal_number)

    async def remove(self, container_id: str) -> None:
        await self._containers.remove(container_id)

    # -- streams

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> ExecProcess:
        container = self._containers.need(container_id, "ExecError")
        if not container.running:
            raise RuntimeFault("ExecError", f"container {container.state.spec.name} is not running")
        tool = self._tools.of(container.state.tool)
        if tty and tool.name != "crun":
            raise RuntimeFault("ExecError", f"{tool.name} cannot give a command a terminal here")
        own = orjson.loads((container.bundle / "config.json").read_bytes())["process"]
        pod, user = self._pods.get(container.state.spec.sandbox), container.state.user
        owner = pod.owner(user) if pod is not None and user is not None else None
        command = exec.Command(tool.path, tool.state_dir, self._exec_dir, container_id, own, argv, tty, owner)
        return await exec.start(command, stdin=stdin)

    async def attach(self, container_id: str) -> ExecProcess:
        container = self._containers.need(container_id, "AttachError")
        wanted = container.state.spec

        async def code() -> int:
            return (await container.wait()).code

        return await attach.attach(container.bundle, code(), stdin=wanted.stdin, tty=wanted.tty)

    def reopen_log(self, container_id: str) -> None:
        if (container := self._containers.get(container_id)) is not None:
            conmon.reopen_log(container.bundle)

    async def set_resources(self, container_id: str, resources: Resources) -> None:
        container = self._containers.need(container_id, "ResizeError")
        try:
            self._cgroups.update(self._containers.cgroup_of(container.state.spec), resources)
            container.state.spec = replace(container.state.spec, resources=resources)
            container.save()
        except OSError as error:
            raise RuntimeFault("ResizeError", f"the kernel refused the new limits: {error}") from error

    async def set_sandbox_resources(self, uid: str, resources: Resources) -> None:
        if (pod := self._pods.get(uid)) is None:
            raise RuntimeFault("ResizeError", f"sandbox {uid} does not exist")
        try:
            self._cgroups.update(pod.state.spec.cgroup, resources)
        except OSError as error:
            raise RuntimeFault("ResizeError", f"the kernel refused the Pod's new limits: {error}") from error

    async def set_tier(self, path: str, resources: Resources) -> None:
        try:
            self._cgroups.set_tier(path, resources)
        except OSError as error:
            raise RuntimeFault("ResizeError", f"the kernel refused the limits of {path}: {error}") from error

    # -- taking over, and taking down

    async def _join_space(self) -> None:
        """New containers are born where those live that run."""
        for container in self._containers:
            keeper = container.state.conmon
            if self._space is not None and keeper is not None and container.running:
                await self._space.join(keeper.pid)
                return

    async def remove_all(self) -> None:
        """Ends every container and takes away every sandbox; what cannot be is told after all the rest is."""
        pods = [self.remove_sandbox(uid) for uid in self._pods.uids()]
        faults = [found for found in await asyncio.gather(*pods, return_exceptions=True) if found]
        rest = [self.remove(container.id) for container in self._containers]
        faults += [found for found in await asyncio.gather(*rest, return_exceptions=True) if found]
        if faults:
            raise faults[0]

    # -- inside

    def _ended(self, container: Container, exit: Exit) -> None:
        if not pause.is_pause(container.state.spec):
            asyncio.get_running_loop().call_soon(self._tell, container.id, exit)

    def _tell(self, container_id: str, exit: Exit) -> None:
        self.on_exit(container_id, exit)


def _check_name(name: str) -> None:
    """Names become paths and arguments."""
    if not _NAME.fullmatch(name):
        raise RuntimeFault("CreateContainerError", f'"{name}" cannot be the name of a container or sandbox')
