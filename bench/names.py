"""Questions a second: this DNS server beside CoreDNS, on the same Services, over the same path, in one run.

CoreDNS runs in the node's network namespace too and hears of the same 1,000 Services from the same API
server, with the plugins of kubeadm's Corefile. Rounds alternate; the ratio is of neighbours. What is asked
is what Pods ask: addresses by both families, and what the search path finds nothing for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cluster import connected, cpu_s
from report import Report

from harness.dnstalk import question, rcode
from harness.node import Node, eventually
from sampan.api.resources import SERVICES
from sampan.client.client import Client

NAMES = 1000
ROUNDS = 5
ROUND_S = 3
COREDNS_PORT = 5353
COREFILE = """.:{port} {{
    bind {ip}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
       kubeconfig {kubeconfig} bench
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    forward . /etc/resolv.conf
    cache 30
    loadbalance
}}
"""


async def measure(node: Node, report: Report) -> None:
    dnsperf = shutil.which("dnsperf")
    if dnsperf is None:
        raise SystemExit("dnsperf is missing: apt-get install dnsperf")
    ip = node.get("service", "kube-dns", "kube-system")["spec"]["clusterIP"]
    node.kubectl("create", "namespace", "names")
    async with connected(node) as client:
        await asyncio.gather(*(_service(client, number) for number in range(NAMES)))
        report.spread("DNS follows a new Service", await _delays_ms(client, ip))
    with tempfile.TemporaryDirectory() as work:
        questions = Path(work, "questions")
        questions.write_text("\n".join(_questions()))
        _load(dnsperf, ip, 53, questions, 1)
        with _coredns(node, ip, Path(work)) as beside:
            if beside is None:
                rounds = [_round(dnsperf, ip, 53, questions, node.pid) for _ in range(ROUNDS)]
                report.add(
                    "DNS", statistics.median(rate for rate, _ in rounds), "a second", "no coredns here"
                )
                return
            report.add("DNS, one question", _alone_us(ip, 53), "µs")
            report.add("CoreDNS, one question", _alone_us(ip, COREDNS_PORT), "µs")
            _load(dnsperf, ip, COREDNS_PORT, questions, 2)
            rounds = []
            for _ in range(ROUNDS):
                rounds.append(_round(dnsperf, ip, 53, questions, node.pid))
                rounds.append(_round(dnsperf, ip, COREDNS_PORT, questions, beside))
    ours, theirs = rounds[::2], rounds[1::2]
    for name, series in (("DNS", ours), ("CoreDNS", theirs)):
        report.add(f"{name}, questions", statistics.median(rate for rate, _ in series), "a second")
        report.add(f"{name}, CPU for one", statistics.median(cost for _, cost in series), "µs")
    pairs = list(zip(ours, theirs, strict=True))
    report.add("DNS / CoreDNS", statistics.median(a / b for (a, _), (b, _) in pairs), "", "goal 1")
    node.kubectl("delete", "namespace", "names", "--wait=false")


def _round(dnsperf: str, ip: str, port: int, questions: Path, pid: int) -> tuple[float, float]:
    """(answers a second, microseconds of CPU for each)."""
    before_s = cpu_s(pid)
    answered, rate = _load(dnsperf, ip, port, questions, ROUND_S)
    return rate, (cpu_s(pid) - before_s) * 1e6 / answered


def _alone_us(ip: str, port: int) -> float:
    """How long one answer takes when nobody else asks."""
    took_s = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((ip, port))
        sock.settimeout(5)
        asked = question("web-1.names.svc.cluster.local")
        for _ in range(2000):
            begun_s = time.perf_counter()
            sock.send(asked)
            sock.recv(4096)
            took_s.append(time.perf_counter() - begun_s)
    return statistics.median(took_s) * 1e6


async def _service(client: Client, number: int) -> None:
    ports = [{"name": "http", "port": 80}]
    metadata = {"name": f"web-{number}", "namespace": "names"}
    spec = {"type": "ClusterIP", "ports": ports}
    await client.create(SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


async def _delays_ms(client: Client, ip: str) -> list[float]:
    """From the answer of the API to the first answer of the DNS server that has the name."""
    found = []
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (ip, 53))
        for number in range(NAMES, NAMES + 50):
            asked = question(f"web-{number}.names.svc.cluster.local")
            await loop.sock_sendall(sock, asked)
            await loop.sock_recv(sock, 4096)  # a denial is kept, and has to go
            await _service(client, number)
            begun_s = time.perf_counter()
            while True:
                await loop.sock_sendall(sock, asked)
                if rcode(await loop.sock_recv(sock, 4096)) == 0:
                    break
            found.append((time.perf_counter() - begun_s) * 1000)
    return found


def _questions() -> list[str]:
    chance = random.Random(1)
    names = [f"web-{number}.names.svc.cluster.local" for number in range(NAMES)]
    lines = [f"{name} {kind}" for name in names for kind in ("A", "A", "AAAA")]
    lines += [f"web-{number}.names.names.svc.cluster.local A" for number in range(NAMES // 2)]
    chance.shuffle(lines)
    return lines


@contextlib.contextmanager
def _coredns(node: Node, ip: str, work: Path) -> Iterator[int | None]:
    """CoreDNS beside the node's own DNS server; its pid, None if the machine has none."""
    program = os.environ.get("COREDNS") or shutil.which("coredns")
    if not program:
        yield None
        return
    address = node.get("node", node.name, "default")["status"]["addresses"][0]["address"]
    kubeconfig = work / "kubeconfig"
    text = (node.data / "kubeconfig").read_text()
    kubeconfig.write_text(re.sub(r"server: \S+", f"server: https://{address}:6443", text))
    subprocess.run(
        ["kubectl", "--kubeconfig", str(kubeconfig), "config", "rename-context", _context(text), "bench"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    corefile = work / "Corefile"
    corefile.write_text(COREFILE.format(port=COREDNS_PORT, ip=ip, kubeconfig=kubeconfig))
    command = ["nsenter", f"--net={node.data}/run/node.net", program, "-conf", str(corefile)]
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(ip, COREDNS_PORT), 30)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _context(kubeconfig: str) -> str:
    found = re.search(r"current-context: (\S+)", kubeconfig)
    return found[1] if found else ""


def _answers(ip: str, port: int) -> bool:
    words = [
        "dig",
        "+short",
        "+tries=1",
        "+time=1",
        f"@{ip}",
        "-p",
        str(port),
        "web-0.names.svc.cluster.local",
    ]
    return bool(re.fullmatch(r"[\d.]+\n", subprocess.run(words, capture_output=True, text=True).stdout))


def _load(dnsperf: str, ip: str, port: int, questions: Path, seconds: int) -> tuple[int, float]:
    """(answers, answers a second); all have to be one of the two that there are."""
    words = [dnsperf, "-s", ip, "-p", str(port), "-d", str(questions), "-l", str(seconds), "-c", "8"]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    codes = set(re.findall(r"([A-Z]+) \d+ \([\d.]+%\)", out))
    assert codes == {"NOERROR", "NXDOMAIN"}, out
    found = re.search(r"Queries completed:\s+(\d+).*Queries per second:\s+([\d.]+)", out, re.DOTALL)
    assert found is not None, out
    return int(found[1]), float(found[2])
