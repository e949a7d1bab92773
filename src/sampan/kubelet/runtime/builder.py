"""How a container comes to exist: root, user, capabilities, seccomp filter, OCI configuration, conmon.

What is asked for is a `ContainerSpec`; what it becomes depends on the image's files and on what this node can
give. Everything made here lies in the container's bundle or is named by its ID, so that whoever finds it half
made can take it away again.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import orjson

from sampan.kubelet.runtime import capabilities, conmon, host, pause, rootfs, spec, users
from sampan.kubelet.runtime.container import Container
from sampan.kubelet.runtime.contract import ContainerSpec, Mount, ProcessUser, RuntimeFault
from sampan.kubelet.runtime.filters import Filters
from sampan.kubelet.runtime.mountspace import Birthplace, MountSpace
from sampan.kubelet.runtime.oci import OciTools
from sampan.kubelet.runtime.pods import Pod
from sampan.kubelet.runtime.staging import Staging


class Builder:
    """`space`: where containers of crun are born if a mount must be hidden from it, else None.

    `node_netns`: the network namespace that Pods of the host network join; "" is the host's own. `anchor`:
    where the mounts of Pods with a user namespace are staged.
    """

    def __init__(
        self,
        found: host.Host,
        tools: OciTools,
        exit_dir: Path,
        filters: Filters,
        space: MountSpace | None,
        node_netns: str,
        anchor: Path,
    ) -> None:
        self._filters, self._space, self._node_netns, self._anchor = filters, space, node_netns, anchor
        self._hidden = found.layout.hybrid_leftover
        self._commands = {
            tool.name: conmon.Command(found.tools["conmon"], tool.path, tool.state_dir, exit_dir)
            for tool in tools
        }
        self._limits = spec.Limits(
            found.bounding, found.min_oom_score_adj, found.max_open_files, found.layout.unified
        )

    async def create(self, container: Container, pod: Pod, cgroup: str, holder: Container | None) -> None:
        """Up to its first instruction. `holder` has the process namespace to be joined, if any.

        Raises OSError, RuntimeFault.
        """
        wanted, bundle = container.state.spec, container.bundle
        found = pod.state.sandbox
        assert found is not None
        bundle.mkdir(mode=0o700)
        container.save()
        root = await rootfs.mount(bundle, wanted.lower_dirs, user=found.user, first_id=found.first_id)
        place = self._place(root, wanted, pod, cgroup, holder)
        hides = container.state.tool == "crun"
        space: Birthplace | None = self._space if hides else None
        if found.user:
            # Whoever has users of its own shares no IPC with the node: there is a /dev/shm.
            mounts = (Mount(place.shm, "/dev/shm"), *wanted.mounts)
            hidden = self._hidden if hides else ""
            space = staging = Staging(self._anchor, hidden, found.user, root, mounts)
            shm, *volumes = staging.staged_mounts
            place = replace(place, rootfs=staging.staged_rootfs, shm=shm.source)
            wanted = replace(wanted, mounts=volumes)
        filter = self._configure(container, wanted, root, place)
        Path(wanted.log_path).parent.mkdir(parents=True, exist_ok=True)
        flags = conmon.flags(stdin=wanted.stdin, stdin_once=wanted.stdin_once, tty=wanted.tty)
        command = self._commands[container.state.tool]
        argv = command.argv(wanted.id, wanted.name, bundle, wanted.log_path, flags)
        sources = [mount.source for mount in wanted.mounts]
        try:
            container.state.init, container.state.conmon = await conmon.create(argv, bundle, space, sources)
        except conmon.ConmonFault as error:
            raise RuntimeFault("RunContainerError", f"failed to create container: {error}") from error
        assert container.state.user is not None
        if owner := pod.owner(container.state.user):
            _give_streams(container.state.init.pid, owner)
        container.state.created_at_s = time.time()
        container.watch()
        container.save()
        if filter is not None:
            self._filters.learn(wanted.id, filter)

    def _place(
        self, root: Path, wanted: ContainerSpec, pod: Pod, cgroup: str, holder: Container | None
    ) -> spec.Place:
        found, pod_spec = pod.state.sandbox, pod.state.spec
        assert found is not None
        pid: str | None = None if pod_spec.host_pid else ""
        joins = bool(wanted.pid_of) and not pod_spec.host_pid
        if (pod_spec.share_pid and not pause.is_pause(wanted)) or joins:
            if holder is None or holder.state.init is None or not holder.running:
                raise RuntimeFault("CreateContainerError", "the process namespace to be joined has ended")
            pid = f"/proc/{holder.state.init.pid}/ns/pid"
        return spec.Place(
            rootfs=str(root),
            shm="" if pod_spec.host_ipc else str(pod.shm),
            cgroup=cgroup,
            net=found.net or self._node_netns or None,
            ipc=found.ipc or None,
            uts=found.uts or None,
            pid=pid,
            user=found.user or None,
            hostname=pod_spec.hostname,
        )

    def _configure(
        self, container: Container, wanted: ContainerSpec, root: Path, place: spec.Place
    ) -> spec.Filter | None:
        """Writes config.json; answers the seccomp filter it names."""
        user = users.resolve(
            wanted.user,
            wanted.security,
            rootfs.read_text(root, "/etc/passwd"),
            rootfs.read_text(root, "/etc/group"),
        )
        granted = self._grant(container)
        container.state.user = ProcessUser(user.uid, user.gid, user.groups)
        filter = self._filters.choose(wanted.security, set(granted))
        if filter is not None and container.state.tool != "crun":
            filter = replace(filter, compiled="")  # crun's own form, which others do not read
        devices = host.devices() if wanted.security.privileged else ()
        config = spec.config(wanted, place, user, self._limits, filter, devices)
        with (container.bundle / "config.json").open("wb") as file:
            file.write(orjson.dumps(config))
        return filter

    def _grant(self, container: Container) -> list[str]:
        """The container's capabilities. Raises RuntimeFault for what is none; notes what cannot be given."""
        wanted = container.state.spec.security
        if strange := capabilities.unknown([*wanted.add_capabilities, *wanted.drop_capabilities]):
            raise RuntimeFault("CreateContainerError", f"unknown capability: {', '.join(strange)}")
        granted, refused = capabilities.effective(
            wanted.add_capabilities,
            wanted.drop_capabilities,
            privileged=wanted.privileged,
            bounding=self._limits.bounding,
        )
        if refused:
            container.state.gaps = (f"runs without {', '.join(refused)}: this node cannot grant it",)
        return granted


def _give_streams(pid: int, owner: tuple[int, int]) -> None:
    """Pipes of a process that waits to be started: else it could not open its own /dev/stdout."""
    for descriptor in range(3):
        path = f"/proc/{pid}/fd/{descriptor}"
        if stat.S_ISFIFO(Path(path).stat().st_mode):
            os.chown(path, *owner)
