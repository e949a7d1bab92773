"""Traffic through a Service's address against traffic straight to its Pod, alternating in one run."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess

from report import Report

from harness.node import Node, eventually

ROUNDS = 6


def measure(node: Node, report: Report) -> None:
    node.kubectl("run", "web", "--image=nginx:1.29", "--port=80")
    node.kubectl("expose", "pod/web", "--port=80")
    node.wait_ready("pod/web", "default")
    node.kubectl("run", "shell", "--image=toolbox")
    node.wait_ready("pod/shell", "default")
    direct = node.get("pod", "web", "default")["status"]["podIP"]
    virtual = node.get("service", "web", "default")["spec"]["clusterIP"]
    eventually(lambda: _rate(node, virtual, 0.2))
    pairs = [(_rate(node, direct), _rate(node, virtual)) for _ in range(ROUNDS)]
    report.add(
        "requests, VIP / Pod IP (keep-alive)", statistics.median(v / d for d, v in pairs), "", "goal 0.98"
    )
    report.add("requests by the VIP", statistics.median(v for _, v in pairs), "a second")
    node.kubectl("delete", "pod/web", "pod/shell", "service/web", "--now")


def _rate(node: Node, address: str, seconds: float = 2.0) -> float:
    """wrk's requests a second, from the host."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    words = [wrk, "-t1", "-c16", f"-d{max(1, round(seconds))}s", f"http://{address}/"]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return float(found[1]) if found else 0.0
