"""All containers: what is in memory of them, what lies on disk, and how they are made and taken away.

Calls on one container are serialised by its lock. A container's end is noticed on the loop at any time, also
while a call on it waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sampan.kubelet.runtime import pause, process, rootfs, state
from sampan.kubelet.runtime.builder import Builder
from sampan.kubelet.runtime.cgroup import Cgroups
from sampan.kubelet.runtime.container import STATE_FILE, Container
from sampan.kubelet.runtime.contract import ContainerSpec, Exit, Record, RuntimeFault
from sampan.kubelet.runtime.exits import ExitDirectory
from sampan.kubelet.runtime.oci import OciTools
from sampan.kubelet.runtime.pods import Pod, Pods
from sampan.kubelet.runtime.state import ContainerState

log = logging.getLogger(__name__)

KILL_DEADLINE_S = 10.0
CONMON_DEADLINE_S = 1.0


class Containers:
    """`directory` holds their bundles. `on_end` is called on the loop, once for each."""

    def __init__(
        self,
        directory: Path,
        exit_dir: Path,
        tools: OciTools,
        cgroups: Cgroups,
        pods: Pods,
        builder: Builder,
        on_end: Callable[[Container, Exit], None],
        *,
        parallel_creates: int = 0,
    ) -> None:
        self._directory, self._tools, self._cgroups, self._pods = directory, tools, cgroups, pods
        self._builder, self._on_end = builder, on_end
        self._containers: dict[str, Container] = {}
        self._exits = ExitDirectory(exit_dir, self._exit_file)
        # More at once than this only lengthens each (measured).
        self._slots = asyncio.Semaphore(parallel_creates or 4 * (os.cpu_count() or 1))

    def open(self) -> None:
        """From now on ends are noticed."""
        self._exits.open()

    def close(self) -> None:
        self._exits.close()
        for container in self:
            container.release()

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._containers.values()))

    def get(self, container_id: str) -> Container | None:
        return self._containers.get(container_id)

    def need(self, container_id: str, reason: str) -> Container:
        """Raises RuntimeFault(`reason`) if there is none."""
        if (container := self._containers.get(container_id)) is None:
            raise RuntimeFault(reason, f"container {container_id} does not exist")
        return container

    def cgroup_of(self, spec: ContainerSpec) -> str:
        """The container's own; one that names only its Pod's gets a directory below it."""
        pod = self._pods.get(spec.sandbox)
        same = pod is not None and pod.state.spec.cgroup.rstrip("/") == spec.cgroup.rstrip("/")
        return f"{spec.cgroup.rstrip('/')}/{spec.id}" if same else spec.cgroup

    # -- one container

    async def create(self, spec: ContainerSpec) -> None:
        """Up to its first instruction. Idempotent. Raises RuntimeFault; then nothing of it is left."""
        while (known := self._containers.get(spec.id)) is not None:
            async with known.lock:
                if not known.removed:
                    return
        pod = self._pods.get(spec.sandbox)
        if pod is None or pod.state.sandbox is None:
            raise RuntimeFault("CreateContainerError", f"sandbox {spec.sandbox} does not exist")
        tool = self._tools.choice(spec.handler or pod.state.spec.handler)
        container = Container(
            ContainerState(spec, tool=tool), self._directory / spec.id, self._exits, self._on_end
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
        spec = container.state.spec
        shared = pod.state.spec.share_pid or not spec.pid_of
        holder = self._containers.get(pause.name(pod.state.spec.uid) if shared else spec.pid_of)
        await self._builder.create(container, pod, self.cgroup_of(spec), holder)

    async def start(self, container_id: str) -> Record:
        """Idempotent. Raises RuntimeFault."""
        container = self.need(container_id, "RunContainerError")
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

    async def remove(self, container_id: str) -> None:
        """Ends it first if it runs. Idempotent. Raises RuntimeFault if it cannot be killed."""
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
        await asyncio.to_thread(self._cgroups.remove, self.cgroup_of(container.state.spec))
        self._exits.discard(container.id)
        container.removed = True
        self._containers.pop(container.id, None)

    def _exit_file(self, container_id: str) -> None:
        if (container := self._containers.get(container_id)) is not None:
            container.look()
        else:
            self._exits.discard(container_id)  # its conmon took its time, and nobody asks any more

    # -- what an earlier process left

    async def adopt(self) -> None:
        """Takes over what runs; removes what was never finished, or of which only the OCI runtime knows."""
        unfinished = []
        for bundle in sorted(self._directory.iterdir()):
            kept = state.read_container(bundle / STATE_FILE)
            if kept is None or kept.init is None:
                unfinished.append(bundle)
                continue
            if self._tools.waits(bundle.name, kept.init.pid):
                kept.started_at_s = 0.0  # noted before it was done, and then it was not done
            container = Container(kept, bundle, self._exits, self._on_end)
            self._containers[container.id] = container
            container.watch()
        await self._sweep(unfinished)
        for name in self._tools.known():
            if name not in self._containers:
                log.warning("ending container %s, of which nothing else is known", name)
                await self._tools.delete(name)
        for name in self._exits.names():
            self._exit_file(name)

    async def _sweep(self, bundles: Sequence[Path]) -> None:
        """Bundles without a usable state. Some may still be at work on them for the process that is gone."""
        if bundles:
            await asyncio.to_thread(process.end_all_naming, [str(bundle) for bundle in bundles])
        for bundle in bundles:
            log.warning("removing container %s, which was never finished", bundle.name)
            await self._tools.delete(bundle.name)
            await asyncio.to_thread(rootfs.discard, bundle)
            self._exits.discard(bundle.name)

    async def end_homeless(self) -> None:
        """Those whose sandbox did not survive."""
        for container in self:
            if self._pods.get(container.state.spec.sandbox):
                continue
            if pause.is_pause(container.state.spec):
                await self.remove(container.id)  # of a sandbox that was never finished
            elif container.state.exit is None:
                log.warning("killing container %s: its sandbox is gone", container.id)
                container.signal(signal.SIGKILL)
