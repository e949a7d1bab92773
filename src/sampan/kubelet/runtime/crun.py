"""The runtime of real containers: crun (or runc) makes them, conmon keeps them, this module knows them.

Below `root`:
    containers/ID/      bundle: container.json (see state), config.json, rootfs (overlay), conmon's files
    run/sandboxes/UID/  sandbox.json; pinned namespaces net, ipc, uts; shm
    run/{crun,runc}/    their own state           run/exits/    exit codes, one file per container
    run/exec/           commands being started    run/seccomp/  compiled filters

Who may interleave: calls on one container are serialised by its lock, `start_sandbox` and `remove_sandbox` of
one Pod by the Pod's. A container's end is noticed on the loop at any time, also while a call on it waits; it
is written down, then `on_exit` is called, once. Ends that happened while no process looked are found by
`open` and told right after it, so `on_exit` is to be set before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from sampan.kubelet.runtime import (
    attach,
    conmon,
    exec,
    exits,
    host,
    libc,
    mounts,
    orphans,
    pause,
    process,
    rootfs,
    staging,
    state,
)
from sampan.kubelet.runtime.builder import Builder
from sampan.kubelet.runtime.cgroup import Cgroups
from sampan.kubelet.runtime.container import STATE_FILE, Container
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
from sampan.kubelet.runtime.state import ContainerState

log = logging.getLogger(__name__)

KILL_DEADLINE_S = 10.0
CONMON_DEADLINE_S = 1.0
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
        self._containers: dict[str, Container] = {}
        self._exits = exits.ExitDirectory(self._run / "exits", self._exit_file)
        # More at once than this only lengthens each (measured).
        self._slots = asyncio.Semaphore(parallel_creates or 4 * (os.cpu_count() or 1))
        self._buries = False
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
        for directory in (self._exits.path, self._run / "seccomp"):
            directory.mkdir(exist_ok=True, mode=0o700)
        for left in self._exec_dir.iterdir():
            left.unlink()
        mounts.share(self.root)
        libc.become_subreaper()
        self._buries = orphans.follow()
        self._cgroups = Cgroups(self.host.layout)
        self._pods = Pods(self._pods_dir, self._cgroups, node_has_netns=bool(self.node_netns))
        if hidden := self.host.layout.hybrid_leftover:
            self._space = MountSpace(hidden, self.root)
        filters = Filters(self._run / "seccomp", self._run / "crun", self.root / "seccomp", self.host)
        self._builder = Builder(
            self.host,
            self._tools,
            self._exits.path,
            filters,
            self._space,
            self.node_netns,
            staging.anchor(self.root),
        )
        self._exits.open()
        await self._adopt()

    async def close(self) -> None:
        self._exits.close()
        if self._buries:
            orphans.unfollow()
            self._buries = False
        if self._space is not None:
            self._space.close()
        for container in self._containers.values():
            container.release()

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
            for container in self._containers.values()
            if container.state.init is not None and not pause.is_pause(container.state.spec)
        ]

    def stats(self, container_id: str) -> Stats:
        return self._cgroups.stats(self._cgroup_of(self._get(container_id, "StatsError").state.spec))

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
        own = [c for c in self._containers.values() if c.state.spec.sandbox == uid]
        await asyncio.gather(*(self.remove(c.id) for c in own if not pause.is_pause(c.state.spec)))
        await self.remove(pause.name(uid))
        await self._pods.remove(uid)

    # -- containers

    async def create(self, spec: ContainerSpec) -> None:
        _check_name(spec.id)
        await self._keep_sharing(spec)
        while (known := self._containers.get(spec.id)) is not None:
            async with known.lock:
                if not known.removed:
                    return
        pod = self._pods.get(spec.sandbox)
        if pod is None or pod.state.sandbox is None:
            raise RuntimeFault("CreateContainerError", f"sandbox {spec.sandbox} does not exist")
        tool = self._tools.choice(spec.handler or pod.state.spec.handler)
        container = Container(
            ContainerState(spec, tool=tool), self._bundles / spec.id, self._exits, self._ended
        )
        self._containers[spec.id] = container
        async with container.lock:
            async with self._pods.cgroup_tree:
                pass  # nobody is removing the directories above it; from now on nobody will
            async with self._slots:
                try:
                    await self._create(container, pod)
                except BaseException as error:
                    await self._clear(container)
                    if isinstance(error, OSError):
                        text = f"failed to create container {spec.name}: {error}"
                        raise RuntimeFault("CreateContainerError", text) from error
                    raise

    async def _create(self, container: Container, pod: Pod) -> None:
        if container.bundle.exists():
            await asyncio.to_thread(rootfs.discard, container.bundle)
        self._exits.discard(container.id)
        shared = pod.state.spec.share_pid or not container.state.spec.pid_of
        holder = self._containers.get(
            pause.name(pod.state.spec.uid) if shared else container.state.spec.pid_of
        )
        await self._builder.create(container, pod, self._cgroup_of(container.state.spec), holder)

    async def start(self, container_id: str) -> Record:
        container = self._get(container_id, "RunContainerError")
        async with container.lock:
            if container.state.started_at_s == 0 and container.state.exit is None:
                container.state.started_at_s = time.time()
                try:
                    container.save()
                except OSError as error:
                    container.state.started_at_s = 0.0
                    raise RuntimeFault("RunContainerError", f"failed to start container: {error}") from error
                await self._tools.of(container.state.tool).start(container_id)
            return container.record

    def signal(self, container_id: str, signal_number: int) -> None:
        if (container := self._containers.get(container_id)) is not None:
            container.signal(signal_number)

    async def remove(self, container_id: str) -> None:
        if (container := self._containers.get(container_id)) is None:
            return
        async with container.lock:
            if container.removed:
                return
            if container.state.init is not None and container.state.exit is None:
                container.signal(signal.SIGKILL)
                try:
                    await asyncio.wait_for(container.wait(), KILL_DEADLINE_S)
                except TimeoutError as error:
                    text = f"container {container_id} still runs {KILL_DEADLINE_S:g} s after SIGKILL"
                    raise RuntimeFault("KillContainerError", text) from error
            await self._clear(container)

    async def _clear(self, container: Container) -> None:
        """Takes away all there is of it, also where it was only half made."""
        await self._tools.of(container.state.tool).delete(container.id)
        if container.state.conmon is not None:
            try:
                await asyncio.wait_for(container.wait_conmon(), CONMON_DEADLINE_S)
            except TimeoutError:
                container.kill_conmon()
                await container.wait_conmon()  # its zombie is ours to bury: who stops watching leaves it
        container.release()
        await asyncio.to_thread(rootfs.discard, container.bundle)
        await asyncio.to_thread(self._cgroups.remove, self._cgroup_of(container.state.spec))
        self._exits.discard(container.id)
        container.removed = True
        self._containers.pop(container.id, None)

    # -- streams

    async def exec(
        self, container_id: str, argv: Sequence[str], *, stdin: bool = False, tty: bool = False
    ) -> ExecProcess:
        container = self._get(container_id, "ExecError")
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
        container = self._get(container_id, "AttachError")
        wanted = container.state.spec

        async def code() -> int:
            return (await container.wait()).code

        return await attach.attach(container.bundle, code(), stdin=wanted.stdin, tty=wanted.tty)

    def reopen_log(self, container_id: str) -> None:
        if (container := self._containers.get(container_id)) is not None:
            conmon.reopen_log(container.bundle)

    async def set_resources(self, container_id: str, resources: Resources) -> None:
        container = self._get(container_id, "ResizeError")
        try:
            self._cgroups.update(self._cgroup_of(container.state.spec), resources)
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

    async def _adopt(self) -> None:
        await self._pods.adopt()
        for bundle in sorted(self._bundles.iterdir()):
            kept = state.read_container(bundle / STATE_FILE)
            if kept is None or kept.init is None:
                log.warning("removing container %s, which was never finished", bundle.name)
                await self._sweep(bundle)
                continue
            container = Container(kept, bundle, self._exits, self._ended)
            self._containers[container.id] = container
            container.watch()
        for name in self._tools.known():
            if name not in self._containers:
                log.warning("ending container %s, of which nothing else is known", name)
                await self._tools.delete(name)
        await self._join_space()
        for container in list(self._containers.values()):
            if self._pods.get(container.state.spec.sandbox):
                continue
            if pause.is_pause(container.state.spec):
                await self.remove(container.id)  # of a sandbox that was never finished
            elif container.state.exit is None:
                log.warning("killing container %s: its sandbox is gone", container.id)
                container.signal(signal.SIGKILL)

    async def _join_space(self) -> None:
        """New containers are born where those live that run."""
        for container in self._containers.values():
            keeper = container.state.conmon
            if self._space is not None and keeper is not None and container.running:
                await self._space.join(keeper.pid)
                return

    async def _sweep(self, bundle: Path) -> None:
        """A bundle without a usable state."""
        await self._tools.delete(bundle.name)
        await asyncio.to_thread(rootfs.discard, bundle)
        self._exits.discard(bundle.name)

    async def remove_all(self) -> None:
        """Ends every container and takes away every sandbox; what cannot be is told after all the rest is."""
        pods = [self.remove_sandbox(uid) for uid in self._pods.uids()]
        faults = [found for found in await asyncio.gather(*pods, return_exceptions=True) if found]
        rest = [self.remove(container_id) for container_id in list(self._containers)]
        faults += [found for found in await asyncio.gather(*rest, return_exceptions=True) if found]
        if faults:
            raise faults[0]

    # -- inside

    def _ended(self, container: Container, exit: Exit) -> None:
        if not pause.is_pause(container.state.spec):
            asyncio.get_running_loop().call_soon(self._tell, container.id, exit)

    def _tell(self, container_id: str, exit: Exit) -> None:
        self.on_exit(container_id, exit)

    def _exit_file(self, container_id: str) -> None:
        if (container := self._containers.get(container_id)) is not None:
            container.look()

    def _get(self, container_id: str, reason: str) -> Container:
        if (container := self._containers.get(container_id)) is None:
            raise RuntimeFault(reason, f"container {container_id} does not exist")
        return container

    def _cgroup_of(self, spec: ContainerSpec) -> str:
        """The container's own; one that names only its Pod's gets a directory below it."""
        pod = self._pods.get(spec.sandbox)
        same = pod is not None and pod.state.spec.cgroup.rstrip("/") == spec.cgroup.rstrip("/")
        return f"{spec.cgroup.rstrip('/')}/{spec.id}" if same else spec.cgroup


def _check_name(name: str) -> None:
    """Names become paths and arguments."""
    if not _NAME.fullmatch(name):
        raise RuntimeFault("CreateContainerError", f'"{name}" cannot be the name of a container or sandbox')
