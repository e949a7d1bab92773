"""A part that dies of a bug must not take the cluster down: the process starts itself anew, Pods run on.

Starting over what is there is what `up` does after every crash, so nothing is done here but that. The times
of earlier revivals travel in the environment; too many in a minute mean that starting over does not help.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sampan.cli.cluster import Cluster

TIMES = "SAMPAN_REVIVED"
WITHIN_S = 60.0
AT_MOST = 5


def earlier(environ: dict[str, str] | os._Environ[str] = os.environ) -> list[float]:
    """When this process was revived before, in seconds since the machine came up."""
    return [float(word) for word in environ.get(TIMES, "").split(",") if word]


def helps(times_s: Sequence[float], now_s: float) -> bool:
    """Whether to try once more."""
    return sum(now_s - time_s < WITHIN_S for time_s in times_s) < AT_MOST


def command(cluster: Cluster, kubeconfig: Path) -> list[str]:
    """What brings the cluster back up in this very process."""
    where = ["--name", cluster.name, "--data-dir", str(cluster.data), "--kubeconfig", str(kubeconfig)]
    return [sys.executable, "-m", "sampan", "up", "--foreground", *where]


def revive(cluster: Cluster, kubeconfig: Path) -> NoReturn:
    """Becomes a fresh process of the same pid and log."""
    now_s = time.monotonic()
    recent = [time_s for time_s in earlier() if now_s - time_s < WITHIN_S]
    environ = {**os.environ, TIMES: ",".join(f"{time_s:.1f}" for time_s in [*recent, now_s])}
    argv = command(cluster, kubeconfig)
    os.execve(argv[0], argv, environ)
