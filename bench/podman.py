"""The same manifest by `podman kube play` and by `kubectl apply`, in turns: a Pod, and then it is gone.

Both as a user calls them, programs and all. Podman comes from Debian's package, keeps what it makes in a
directory of its own, and is left out where it is missing. Its crun refuses hybrid cgroups and this kind of
machine may not raise limits, so it gets a mount namespace without the second hierarchy and limits that it may
set; it does no health checks, gives no names and serves no API meanwhile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from report import Report

from harness.node import Node

ROUNDS = 10
UNIFIED = Path("/sys/fs/cgroup/unified")
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: side-by-side}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "docker.io/library/busybox:1.36", command: [sleep, infinity]}
"""
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
REGISTRIES = """\
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "{mirror}"
insecure = true
"""


class Podman:
    def __init__(self, work: Path, mirror_url: str) -> None:
        (work / "containers.conf").write_text(CONTAINERS)
        (work / "registries.conf").write_text(REGISTRIES.format(mirror=mirror_url.partition("://")[2]))
        self._env = {
            **os.environ,
            "CONTAINERS_CONF": str(work / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(work / "registries.conf"),
        }
        # One mount namespace for all calls, held by a process that does nothing.
        hide = f"umount {UNIFIED}; " if UNIFIED.exists() else ""
        self._holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "slave", "sh", "-c", f"{hide}echo; exec sleep infinity"],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        self._holder.stdout.readline()
        self._call = [
            *("nsenter", "-t", str(self._holder.pid), "-m", "podman"),
            *("--root", str(work / "root"), "--runroot", str(work / "run")),
        ]

    def __call__(self, *words: str) -> None:
        subprocess.run([*self._call, *words], env=self._env, check=True, capture_output=True, timeout=60)

    def close(self) -> None:
        subprocess.run([*self._call, "pod", "rm", "-fa"], env=self._env, capture_output=True, timeout=60)
        self._holder.kill()
        self._holder.wait()


def measure(node: Node, mirror_url: str, report: Report) -> None:
    if shutil.which("podman") is None:
        print("podman is not installed: not compared")
        return
    work = Path(tempfile.mkdtemp(prefix="sampan-bench-", dir="/var/tmp"))
    file = work / "pod.yaml"
    file.write_text(MANIFEST)
    podman = Podman(work, mirror_url)
    try:
        podman("pull", "-q", "docker.io/library/busybox:1.36")
        theirs_ms, ours_ms = [], []
        for _ in range(ROUNDS):
            begun = time.monotonic()
            podman("kube", "play", "-q", str(file))
            theirs_ms.append((time.monotonic() - begun) * 1000)
            podman("pod", "rm", "-f", "-t", "0", "side-by-side")
            begun = time.monotonic()
            node.kubectl("apply", "-f", str(file))
            node.kubectl("wait", "--for=condition=Ready", "pod/side-by-side")
            ours_ms.append((time.monotonic() - begun) * 1000)
            node.kubectl("delete", "-f", str(file), "--grace-period=0", "--force")
    finally:
        podman.close()
        shutil.rmtree(work, ignore_errors=True)
    report.spread("podman kube play", theirs_ms)
    report.spread("kubectl apply and wait, here", ours_ms)
