"""A cluster as the command line finds it: its name, its directory, the choices of its first `up`.

DATA/cluster.json   the choices: index (address plan), ports, node name, mirrors
DATA/lock           held by the running process for as long as it lives; holds its pid
DATA/store.db  pki/  pods/  containers/  run/  kubeconfig  sampan.log

A cluster that lives elsewhere than by default has a link where it would live: its name alone leads there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sampan.cli.errors import UserError

DEFAULT_NAME = "sampan"
DEFAULT_ROOT = Path("/var/lib/sampan")
DEFAULT_DOMAIN = "cluster.local"
MARKS = ("cluster.json", "lock")
"""What says that a directory is a cluster's, in the order in which they go."""
LOCK_TRIES, LOCK_PAUSE_S = 5, 0.01
"""Whoever asks for the pid holds the lock for a moment."""
NAME_FORM = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Choices:
    """What must stay the same from one `up` to the next; the address plan has a file of its own."""

    api_port: int
    node_name: str
    mirrors: Mapping[str, str] = field(default_factory=dict)
    image_root: str = ""
    """Where its images are; "" for the place that all clusters of the machine share."""
    unsafe_sysctls: Sequence[str] = field(default_factory=list)
    pod_security: Mapping[str, Any] = field(default_factory=dict)
    """A PodSecurityConfiguration; empty for none."""
    kubelet: Mapping[str, Any] = field(default_factory=dict)
    """A KubeletConfiguration; empty for none."""
    ip_families: str = ""
    """`ipv4,ipv6` and the like, the primary first; "" for all that the kernel has, IPv4 first."""
    node_ports: Sequence[int] = field(default_factory=lambda: [30000, 32767])
    """The first and the last node port that Services may have."""
    external_ips: Sequence[str] = field(default_factory=list)
    """The networks that Services may have externalIPs of."""
    load_balancers: Sequence[str] = field(default_factory=list)
    """Networks and ranges that load balancers get addresses of; none of a family: the address plan's own."""
    former_pools: Sequence[str] = field(default_factory=list)
    """What was chosen before, so that their addresses are known as given."""
    node_grace_s: float = 40.0
    """How long a node may be silent before it counts as lost."""
    overlay: bool = False
    """Whether Pods' packets between nodes travel in VXLAN."""
    domain: str = DEFAULT_DOMAIN
    """The end of all names of Services."""

    @property
    def images(self) -> Path:
        return Path(self.image_root) if self.image_root else DEFAULT_ROOT / "images"


@dataclass(frozen=True)
class Cluster:
    """The paths of one cluster."""

    name: str
    data: Path

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def store(self) -> Path:
        return self.data / "store.db"

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def kubeconfig(self) -> Path:
        return self.data / "kubeconfig"

    @property
    def log(self) -> Path:
        return self.data / "sampan.log"

    @property
    def context(self) -> str:
        """The context's name in the user's kubeconfig."""
        return f"sampan-{self.name}" if self.name != DEFAULT_NAME else DEFAULT_NAME

    @property
    def node_pin(self) -> Path:
        return self.run / "node.net"

    @property
    def lan(self) -> Path:
        """What the cluster's nodes are plugged into, once there are several."""
        return self.run / "lan.net"

    @property
    def node_places(self) -> list[Cluster]:
        """Where nodes live that are processes of their own: each is laid out like a cluster."""
        root = self.data / "nodes"
        found = sorted(root.iterdir()) if root.is_dir() else []
        return [Cluster(place.name, place) for place in found if place.is_dir()]

    def node_place(self, name: str) -> Cluster:
        return Cluster(name, self.data / "nodes" / name)

    @property
    def address_plan(self) -> Path:
        """Which of the machine's address plans this cluster has; see kubelet/network/plan.py."""
        return self.data / "addresses.json"

    @property
    def cgroup(self) -> str:
        """The root of the cluster's cgroups, below each hierarchy's own root.

        Nothing else may tell two clusters apart than where they live: `down` takes all of it away.
        """
        if self.data == DEFAULT_ROOT / self.name:
            return f"/sampan-{self.name}"
        return f"/sampan-{self.name}-{hashlib.sha256(os.fsencode(self.data)).hexdigest()[:8]}"

    def choices(self) -> Choices | None:
        """What an earlier `up` chose; None if there was none."""
        try:
            return Choices(**json.loads((self.data / "cluster.json").read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{self.data / 'cluster.json'} cannot be read: {error}",
                f"`sampan down --name {self.name}` removes this cluster; then `sampan up` makes it anew.",
            ) from error

    def keep(self, choices: Choices) -> None:
        target = self.data / "cluster.json"
        text = json.dumps(asdict(choices), indent=2) + "\n"
        if target.exists() and target.read_text() == text:
            return  # a full disk is no reason not to come up again
        fresh = target.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(target)

    def running_pid(self) -> int | None:
        """The pid of the process that holds the lock, or None if nobody does."""
        try:
            with (self.data / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            text = (self.data / "lock").read_text().strip()
            return int(text) if text else 0
        return None

    def lock(self) -> int | None:
        """Takes the lock; answers its descriptor, to be kept open for life, or None if another holds it."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o711)
        descriptor = os.open(self.data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_PAUSE_S)
            else:
                return descriptor
        os.close(descriptor)
        return None

    @property
    def _link(self) -> Path:
        return DEFAULT_ROOT / self.name

    def be_found(self) -> None:
        """Lets the name alone lead here, if it leads nowhere yet."""
        if not self._link.exists():
            DEFAULT_ROOT.mkdir(parents=True, exist_ok=True, mode=0o711)
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self.data)

    def be_forgotten(self) -> None:
        """Takes back what `be_found` did."""
        if self._link.is_symlink() and self._link.readlink() == self.data:
            self._link.unlink()


def check_place(cluster: Cluster) -> None:
    """Raises UserError unless the directory is this cluster's own, empty or not there yet.

    `down` takes away the whole directory, so nothing of anybody else's may ever be in it.
    """
    if not cluster.data.exists():
        return
    if not cluster.data.is_dir():
        raise UserError(f"{cluster.data} is no directory", "Name another one with --data-dir.")
    choices = cluster.choices()
    if choices is not None and choices.node_name != cluster.name:
        raise UserError(
            f"{cluster.data} is the cluster {choices.node_name!r}, not {cluster.name!r}",
            f"Say --name {choices.node_name}, or name another directory with --data-dir.",
        )
    if choices is None and not (cluster.data / "lock").exists() and any(cluster.data.iterdir()):
        raise UserError(
            f"{cluster.data} holds files that are no cluster's", "Name another directory with --data-dir."
        )


def kept_plans(cluster: Cluster) -> set[int]:
    """The address plans of the machine's other clusters, whether they are up or may come up again."""
    found = set()
    for plan in DEFAULT_ROOT.glob("*/addresses.json"):
        if plan.parent.name != cluster.name:
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                found.add(int(json.loads(plan.read_text())["index"]))
    return found


def write_pid(lock: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """`--name` and `--data-dir`, which every verb takes."""
    parser.add_argument("--name", default=DEFAULT_NAME, help="the cluster's name (default: %(default)s)")
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        help=f"where it lives (default: {DEFAULT_ROOT}/NAME); afterwards the name is enough",
    )


def from_arguments(parsed: argparse.Namespace) -> Cluster:
    if not NAME_FORM.fullmatch(parsed.name):
        raise UserError(
            f"{parsed.name!r} cannot be a cluster's name",
            "Use at most 32 lower-case letters, digits and dashes; the first and last no dash.",
        )
    default = DEFAULT_ROOT / parsed.name
    if parsed.data_dir is None and default.is_symlink():
        return Cluster(parsed.name, default.readlink())
    return Cluster(parsed.name, (parsed.data_dir or default).absolute())


def existing(parsed: argparse.Namespace) -> tuple[Cluster, Choices]:
    """The cluster the arguments name; a UserError if it was never brought up."""
    cluster = from_arguments(parsed)
    check_place(cluster)
    choices = cluster.choices()
    if choices is None:
        raise UserError(f"there is no cluster {cluster.name!r} in {cluster.data}", "`sampan up` makes one.")
    return cluster, choices
