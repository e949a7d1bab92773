"""Traffic through a Service's address against traffic straight to its Pod, alternating in one run.

Client and server have a core each, and the server writes no log: what is compared is the path of the packets.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
from pathlib import Path

from report import Report

from harness.node import Node, eventually

ROUNDS = 8
QUIET = "sed -i 's/access_log.*/access_log off;/' /etc/nginx/nginx.conf; exec nginx -g 'daemon off;'"


def measure(node: Node, report: Report) -> None:
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
    pairs = [(_rate(inside, direct), _rate(inside, virtual)) for _ in range(ROUNDS)]
    ratio = statistics.median(by_vip / by_pod for by_pod, by_vip in pairs)
    report.add("requests, VIP / Pod IP (keep-alive)", ratio, "", "goal 0.98")
    report.add("requests by the VIP", statistics.median(by_vip for _, by_vip in pairs), "a second")
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
