"""All sandboxes: what is on disk of them, in memory, and in the cgroup tree.

A Pod's calls are serialised by its lock. cgroup directories above Pods belong to several, so they are removed
under `cgroup_tree`, which whoever is about to create something below them takes for a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sampan.kubelet.runtime import mounts, rootfs, sandbox, state, userns
from sampan.kubelet.runtime.cgroup import Cgroups
from sampan.kubelet.runtime.contract import ProcessUser, RuntimeFault, Sandbox, SandboxSpec
from sampan.kubelet.runtime.state import SandboxState

log = logging.getLogger(__name__)

STATE_FILE = "sandbox.json"


@dataclass(slots=True)
class Pod:
    """`state.sandbox` is None before it is made."""

    state: SandboxState
    directory: Path
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def shm(self) -> Path:
        return self.directory / "shm"

    def owner(self, user: ProcessUser) -> tuple[int, int] | None:
        """Who a user of the Pod is on the node, if that is somebody else."""
        found = self.state.sandbox
        if found is None or not found.first_id:
            return None
        return found.first_id + user.uid, found.first_id + user.gid


class Pods:
    def __init__(self, directory: Path, cgroups: Cgroups, *, node_has_netns: bool) -> None:
        self._directory, self._cgroups, self._node_has_netns = directory, cgroups, node_has_netns
        self._pods: dict[str, Pod] = {}
        self._first_ids: dict[str, int] = {}
        """Of Pods with a user namespace, by uid."""
        self.cgroup_tree = asyncio.Lock()

    def get(self, uid: str) -> Pod | None:
        return self._pods.get(uid)

    def uids(self) -> list[str]:
        return list(self._pods)

    def sandboxes(self) -> list[Sandbox]:
        return [pod.state.sandbox for pod in self._pods.values() if pod.state.sandbox is not None]

    async def adopt(self) -> None:
        """Finds what earlier processes left; removes what they left half made, or a reboot left of it."""
        points = mounts.table()
        for directory in sorted(self._directory.iterdir()):
            found = state.read_sandbox(directory / STATE_FILE)
            if found is not None and found.sandbox is not None:
                if sandbox.is_pinned(directory, found.sandbox, points):
                    self._pods[found.spec.uid] = Pod(found, directory)
                    if found.sandbox.first_id:
                        self._first_ids[found.spec.uid] = found.sandbox.first_id
                    continue
                log.warning("the namespaces of Pod %s are gone", found.spec.uid)
            await asyncio.to_thread(sandbox.unpin, directory)
            await asyncio.to_thread(rootfs.discard, directory)

    async def start(self, spec: SandboxSpec, complete: Callable[[Pod], Awaitable[None]]) -> Sandbox:
        """`complete` does what comes after the namespaces; its failure is the sandbox's.

        Raises RuntimeFault("FailedCreatePodSandBox").
        """
        pod = self._pods.setdefault(spec.uid, Pod(SandboxState(spec), self._directory / spec.uid))
        async with pod.lock:
            if pod.state.sandbox is None:
                pod.state = SandboxState(spec)  # an earlier attempt may have asked for something else
                try:
                    pod.state.sandbox = await self._make(pod)
                    await complete(pod)
                    state.write(pod.directory / STATE_FILE, pod.state)
                except BaseException as error:
                    pod.state.sandbox = None
                    if isinstance(error, OSError):
                        text = f"failed to create the Pod's sandbox: {error}"
                        raise RuntimeFault("FailedCreatePodSandBox", text) from error
                    raise
            return pod.state.sandbox

    async def _make(self, pod: Pod) -> Sandbox:
        wanted = pod.state.spec
        own = sandbox.kinds(wanted, node_has_netns=self._node_has_netns)
        if pod.directory.exists():
            sandbox.unpin(pod.directory)  # what an earlier attempt left
        pod.directory.mkdir(exist_ok=True, mode=0o700)
        state.write(pod.directory / STATE_FILE, pod.state)
        if wanted.resources is not None:
            async with self.cgroup_tree:
                self._cgroups.make(wanted.cgroup, wanted.resources)
        return await sandbox.pin(pod.directory, wanted, own, self._first_id(wanted))

    def _first_id(self, wanted: SandboxSpec) -> int:
        """Of the range of IDs that is the Pod's alone; 0 for one that has the node's."""
        if wanted.user_namespace and wanted.uid not in self._first_ids:
            taken = self._first_ids.values()
            self._first_ids[wanted.uid] = userns.allot(taken, userns.delegated())
        return self._first_ids.get(wanted.uid, 0)

    async def remove(self, uid: str) -> None:
        """Once its containers are gone. Idempotent."""
        if (pod := self._pods.get(uid)) is None:
            return
        async with pod.lock:
            if self._pods.get(uid) is not pod:
                return
            await asyncio.to_thread(self._discard, pod)
            del self._pods[uid]
            self._first_ids.pop(uid, None)
        await self._remove_cgroup_parents(pod.state.spec.cgroup)

    def _discard(self, pod: Pod) -> None:
        sandbox.unpin(pod.directory)
        self._cgroups.remove(pod.state.spec.cgroup)
        rootfs.discard(pod.directory)

    async def _remove_cgroup_parents(self, path: str) -> None:
        """The directories above the Pod's, as far as no other Pod is below them."""
        async with self.cgroup_tree:
            for parent in list(Path(path).parents)[:-1]:
                if any(pod.state.spec.cgroup.startswith(f"{parent}/") for pod in self._pods.values()):
                    return
                await asyncio.to_thread(self._cgroups.remove_if_empty, str(parent))
