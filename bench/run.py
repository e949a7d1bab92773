"""`make bench`: every figure of the README, measured on this machine in one run."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import extremes
import kernel
import names
import podman
import pods
import probes
import services
import streams
import underlay
from cluster import IMAGES, cluster
from report import Report

import api
from harness.node import Node
from mirror import Mirror

ROUNDS = 5
ON_A_CLUSTER = {"pods", "streams", "services", "extremes", "names", "api"}
EVERYTHING = {"up", "probes", "kernel", "underlay", *ON_A_CLUSTER}


def up(report: Report) -> None:
    """A first `up` in an empty directory, several times; then `up` over the same data."""
    fresh_s, again_s, down_s = [], [], []
    with Mirror(IMAGES) as mirror:
        for _ in range(ROUNDS):
            work = Path(tempfile.mkdtemp(prefix="sampan-bench-", dir="/var/tmp"))
            node = Node(work, "bench", mirror.url)
            fresh_s.append(_timed(node.up))
            _timed(lambda node=node: node.sampan("down", "--keep-data"))
            again_s.append(_timed(node.up))
            down_s.append(_timed(node.down))
            shutil.rmtree(work)
    report.add("up to node Ready, first time", sorted(fresh_s)[ROUNDS // 2], "s", "goal 1.0")
    report.add("up to node Ready, data kept", sorted(again_s)[ROUNDS // 2], "s", "goal 1.0")
    report.add("down", sorted(down_s)[ROUNDS // 2], "s")


def _timed(work: object) -> float:
    begun = time.monotonic()
    work()  # type: ignore[operator]
    return time.monotonic() - begun


def main() -> None:
    wanted = set(sys.argv[1:]) or EVERYTHING
    report = Report()
    if "up" in wanted:
        up(report)
    if "probes" in wanted:
        probes.measure(report)
    if "kernel" in wanted:
        kernel.measure(report)
    if "underlay" in wanted:
        underlay.measure(report)
    if wanted & ON_A_CLUSTER:
        with cluster() as (node, mirror_url):
            if "pods" in wanted:
                podman.measure(node, mirror_url, report)
                asyncio.run(pods.measure(node, report))
            if "streams" in wanted:
                asyncio.run(streams.measure(node, report))
            if "services" in wanted:
                asyncio.run(services.measure(node, report))
            if "extremes" in wanted:
                asyncio.run(extremes.measure(node, report))
            if "names" in wanted:
                asyncio.run(names.measure(node, report))
            if "api" in wanted:
                asyncio.run(api.measure(node, report))
    print(report.line())


if __name__ == "__main__":
    main()
