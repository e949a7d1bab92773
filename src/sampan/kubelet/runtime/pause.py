"""The container that holds a Pod's shared process namespace: a pid namespace lives only as long as its pid 1.

`catatonit -P` sleeps, and reaps what is orphaned in the Pod. It is a container like others but for its label,
by which the runtime keeps it to itself.
"""

from __future__ import annotations

from sampan.kubelet.runtime.contract import ContainerSpec, Mount, Resources, SandboxSpec, Security

LABEL = "sampan/pause"
TOOL = "catatonit"
OOM_SCORE_ADJ = -998
"""Upstream's for its pause container: the last of the Pod that the kernel kills."""


def name(uid: str) -> str:
    return f"{uid}-pause"


def spec(pod: SandboxSpec, tool: str, empty_dir: str) -> ContainerSpec:
    """`tool`: path of the static binary; `empty_dir`: what its root file system stands on."""
    return ContainerSpec(
        id=name(pod.uid),
        sandbox=pod.uid,
        name="pause",
        attempt=0,
        lower_dirs=(empty_dir,),
        argv=(f"/{TOOL}", "-P"),
        env={},
        cwd="/",
        user="",
        mounts=(Mount(tool, f"/{TOOL}", read_only=True),),
        log_path="/dev/null",
        cgroup=f"{pod.cgroup}/pause",
        resources=Resources(oom_score_adj=OOM_SCORE_ADJ),
        security=Security(read_only_root=True, no_new_privileges=True, drop_capabilities=("ALL",)),
        labels={LABEL: pod.uid},
    )


def is_pause(container: ContainerSpec) -> bool:
    return LABEL in container.labels
