"""What one node is told when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sampan.kubelet.backoff import LIMIT_S
from sampan.kubelet.eviction.thresholds import EvictionConfig
from sampan.kubelet.images.collection import CollectionConfig


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """`root` is the data directory: the kubelet's own files lie in `root/pods`.

    `cgroup_root` is a path below every cgroup hierarchy, such as `/sampan/NAME`; `capacity` replaces what was
    found out about the machine (`{"cpu": "2", "memory": "4Gi"}`); `resolv_conf` is the node's own file, which
    Pods with dnsPolicy Default see.
    """

    node_name: str
    root: Path
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    node_labels: Mapping[str, str] = field(default_factory=dict)
    cgroup_root: str = "/sampan/default"
    capacity: Mapping[str, str] = field(default_factory=dict)
    max_pods: int = 110
    pod_cidrs: tuple[str, ...] = ()
    """The node's own ranges, the primary family's first."""
    resolv_conf: Path = Path("/etc/resolv.conf")
    runtime_version: str = "sampan://0.1.0"
    default_seccomp: str = "RuntimeDefault"
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """What Pods may set besides the safe ones: names, or prefixes that end in `*`."""
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    kube_reserved: Mapping[str, str] = field(default_factory=dict)
    """Kept back from Pods, as quantities: for the rest of the machine, and for sampan itself."""
    eviction: EvictionConfig = field(default_factory=EvictionConfig)
    image_root: Path = Path("/var/lib/sampan/images")
    """On the disk that images fill: imagefs, to whoever looks after what is left of it."""
    collection: CollectionConfig = field(default_factory=CollectionConfig)
    pod_pids_limit: int = 0
    """Processes of one Pod; 0: as many as the node has."""

    log_max_bytes: int = 10 << 20
    log_max_files: int = 5
    """Of one container: beyond that its log is begun anew, and the oldest file goes."""

    longest_backoff_s: float = LIMIT_S
    """Before a container that keeps failing is started again."""
    lease_s: int = 40
    """How long the node counts as alive after it was last heard of; it speaks four times as often."""
    static_pod_path: Path | None = None
    """Where the manifests of static Pods lie, or the one file; None: `root/manifests`."""

    @property
    def manifests(self) -> Path:
        return self.static_pod_path or self.root / "manifests"

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    @property
    def volumes(self) -> Path:
        """Directories that the built-in provisioner makes; they outlive Pods."""
        return self.root / "volumes"
