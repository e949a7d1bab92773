"""A cluster to measure, and the client to measure it with: in this process, over HTTPS, as users have it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from harness.node import Node
from mirror import Mirror
from sampan.cli import nodedns
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.https import HttpsTransport
from sampan.dns import keeper

IMAGES = Path(os.environ.get("SAMPAN_TEST_IMAGES", "/tmp/sampan-test-images"))


MANY_PODS = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 400\n"


@contextlib.contextmanager
def cluster(name: str = "bench") -> Iterator[tuple[Node, str]]:
    """Up for the block, with the demo's images at hand at the URL given; on a disk, not in memory."""
    work = Path(tempfile.mkdtemp(prefix="sampan-bench-", dir="/var/tmp"))
    settings = work / "kubelet.yaml"
    settings.write_text(MANY_PODS)
    with Mirror(IMAGES) as mirror:
        node = Node(work, name, mirror.url)
        try:
            node.up("--kubelet-config", str(settings))
            yield node, mirror.url
        finally:
            node.down()
            shutil.rmtree(work, ignore_errors=True)


@contextlib.asynccontextmanager
async def connected(node: Node) -> AsyncIterator[Client]:
    client = Client(HttpsTransport.to(kubeconfig.access(node.data / "kubeconfig")))
    try:
        yield client
    finally:
        await client.close()


def tree_pids(root: int, marker: str) -> list[int]:
    """The cluster's own processes: the one that holds it, who keeps its DNS sockets open, and every conmon.

    `marker`: its data directory.
    """
    holder = keeper.read(nodedns.record(Path(marker)))
    found = [root, *([holder.pid] if holder else [])]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if command.startswith((b"conmon", b"/usr/bin/conmon")) and marker.encode() in command:
                    found.append(int(entry.name))
    return found


def resident_mb(pids: list[int]) -> tuple[float, float]:
    """(RSS, PSS) in MB over all processes; PSS counts what several share once."""
    rss = pss = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                rss += int(line.split()[1])
            elif line.startswith("Pss:"):
                pss += int(line.split()[1])
    return rss / 1000, pss / 1000


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def settle(seconds: float) -> None:
    await asyncio.sleep(seconds)
