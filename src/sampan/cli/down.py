"""`sampan down`: everything a cluster made is gone, also when its process died before."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import shutil
import signal
from pathlib import Path

from sampan.cli import cluster as clusters
from sampan.cli import fleet, nodeconfig
from sampan.cli.cluster import Cluster
from sampan.cli.errors import UserError
from sampan.cli.terminal import Progress
from sampan.client import kubeconfig

STOP_TIMEOUT_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    clusters.add_arguments(parser)
    parser.add_argument("--keep-data", action="store_true", help="keep all objects for the next `up`")
    parser.add_argument("--kubeconfig", metavar="FILE", type=Path, help="where the context was added")


def run(parsed: argparse.Namespace) -> int:
    cluster = clusters.from_arguments(parsed)
    if not cluster.data.exists():
        raise UserError(f"there is no cluster {cluster.name!r} in {cluster.data}")
    if os.geteuid() != 0:
        raise UserError("sampan down needs root, as up did", "Run it with sudo.")
    clusters.check_place(cluster)
    progress = Progress()
    progress.show("stopping")
    _stop(cluster)
    for place in cluster.node_places:
        if not fleet.stop(place):
            raise UserError(f"the process of node {place.name!r} does not end", f"Its log is {place.log}.")
    lock = cluster.lock()
    if lock is None:
        raise UserError(f"the process of {cluster.name!r} does not end", f"Its log is {cluster.log}.")
    progress.show("ending Pods")
    asyncio.run(_clear(cluster))
    target = parsed.kubeconfig.absolute() if parsed.kubeconfig else kubeconfig.default_path()
    kubeconfig.remove_context(target, cluster.context)
    if not parsed.keep_data:
        remove(cluster)
        cluster.be_forgotten()
    os.close(lock)
    progress.done(f"sampan {cluster.name!r} is down")
    return 0


def remove(cluster: Cluster) -> None:
    """The directory and all that is in it.

    The objects go first, what says whose directory it is goes last: whoever is killed meanwhile leaves what
    the next `down` takes away, and what the next `up` begins from as if it were empty.
    """
    for path in cluster.data.glob(f"{cluster.store.name}*"):
        path.unlink()
    for path in cluster.data.iterdir():
        if path.name not in clusters.MARKS:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in clusters.MARKS:
        (cluster.data / name).unlink(missing_ok=True)
    try:
        cluster.data.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:  # the user's own mount, which was there before us
            raise


def _stop(cluster: Cluster) -> None:
    """SIGTERM to the process, and its end awaited on a pidfd."""
    pid = cluster.running_pid()
    if not pid:
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not _ended(descriptor, STOP_TIMEOUT_S):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            _ended(descriptor, STOP_TIMEOUT_S)
    finally:
        os.close(descriptor)


def _ended(descriptor: int, timeout_s: float) -> bool:
    import select

    return bool(select.select([descriptor], [], [], timeout_s)[0])


async def _clear(cluster: Cluster) -> None:
    """Containers, mounts, cgroups, then the node's namespace with its uplink and routes."""
    from sampan.cli import nodedns
    from sampan.cli.node import clear
    from sampan.kubelet.network.contract import NetworkFault
    from sampan.kubelet.network.node import NodeNamespace, choose_plan
    from sampan.kubelet.runtime.purge import purge

    for place in cluster.node_places:
        await clear(place)
    nodedns.end(cluster.data)
    if nodeconfig.membership(cluster) is not None:
        await clear(cluster)  # a node that had joined by hand
        return
    await purge(cluster.data, cluster.cgroup)
    if cluster.address_plan.exists():
        try:
            plan = choose_plan(cluster.name, cluster.node_pin, cluster.address_plan, lan=cluster.lan)
        except NetworkFault:
            return  # a torn file, and no uplink that bears the cluster's name
        node = NodeNamespace(plan)
        await node.remove()
        node.close()
