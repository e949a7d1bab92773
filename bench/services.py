"""Traffic through a Service's address against traffic straight to its Pod, alternating in one run.

All of it while there are 10,000 more Services. Client and server have a core each, and the server writes no
log: what is compared is the path of the packets.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
from pathlib import Path

from cluster import connected
from connecting import latencies
from crowd import COUNT, crowd
from pods import Watcher, first_packets
from report import Report

from harness.node import Node, eventually

ROUNDS = 12
QUIET = "sed -i 's/access_log.*/access_log off;/' /etc/nginx/nginx.conf; exec nginx -g 'daemon off;'"


async def measure(node: Node, report: Report) -> None:
    async with connected(node) as client, crowd(node, client, report):
        await asyncio.to_thread(_traffic, node, report)
        watcher = Watcher(client)
        watching = asyncio.create_task(watcher.run())
        try:
            took_ms = await first_packets(client, watcher)
        finally:
            watching.cancel()
        report.spread(f"Pod Ready to first packet at {COUNT:,} Services", took_ms, "goal p99 5")


def _traffic(node: Node, report: Report) -> None:
    node.kubectl("run", "web", "--image=nginx:1.29", "--port=80", "--command", "--", "sh", "-c", QUIET)
    node.kubectl("expose", "pod/web", "--port=80")
    node.kubectl("run", "client", "--image=busybox:1.36", "--", "sleep", "infinity")
    for name in ("web", "client"):
        node.wait_ready(f"pod/{name}", "default")
    client = node.get("pod", "client", "default")["metadata"]["uid"]
    inside = node.data / "run/sandboxes" / client / "net"
    pod = node.get("pod", "web", "default")
    direct = pod["status"]["podIP"]
    virtual = node.get("service", "web", "default")["spec"]["clusterIP"]
    eventually(lambda: _rate(inside, virtual, 1))
    for pid in _processes(pod["metadata"]["uid"]):
        subprocess.run(["taskset", "-pc", "1", str(pid)], check=True, stdout=subprocess.DEVNULL)
    pairs = [_rates(inside, direct, virtual, first=number % 2) for number in range(ROUNDS)]
    ratio = statistics.median(by_vip / by_pod for by_pod, by_vip in pairs)
    report.add("requests, VIP / Pod IP (keep-alive)", ratio, "", "goal 0.98")
    report.add("requests by the VIP", statistics.median(by_vip for _, by_vip in pairs), "a second")
    by_pod, by_vip = latencies(inside, (direct, 80), (virtual, 80))
    report.add("connect, VIP / Pod IP, p50", by_vip.p50_us / by_pod.p50_us, "", "goal 1.06")
    node.kubectl("delete", "pod/web", "pod/client", "service/web", "--now")


def _processes(uid: str) -> list[int]:
    """All processes in the Pod's cgroup."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"/pod{uid}/" in (entry / "cgroup").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _rates(inside: Path, direct: str, virtual: str, *, first: int) -> tuple[float, float]:
    """Of both, one right after the other; by turns the one and the other first."""
    rates = {address: _rate(inside, address, 1) for address in (direct, virtual)[:: -1 if first else 1]}
    return rates[direct], rates[virtual]


def _rate(namespace: Path, address: str, seconds: int = 2) -> float:
    """wrk's requests a second, from the network namespace of a Pod."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    words = [
        "nsenter",
        f"--net={namespace}",
        "taskset",
        "-c",
        "0",
        wrk,
        "-t1",
        "-c16",
        f"-d{seconds}s",
        f"http://{address}/",
    ]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return float(found[1]) if found else 0.0
