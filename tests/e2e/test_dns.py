"""Names as Pods ask for them: every sort of record, what there is not, who else is asked, and no gap."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.dnstalk import addresses, question
from harness.node import Node, eventually
from mirror import Mirror
from sampan.cli import nodedns
from sampan.dns import keeper

TOOLBOX = """
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: %s}}
spec:
  terminationGracePeriodSeconds: 0
  hostname: %s
  subdomain: db
  dnsConfig: {options: [{name: timeout, value: "30"}]}
  containers:
  - {name: c, image: toolbox, command: [%s]}
"""
SLEEP = "sleep, infinity"
SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80}, {name: syslog, port: 514, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: sql, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: web.%s.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: many}
spec: {clusterIP: None}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: many-1, labels: {kubernetes.io/service-name: many}}
addressType: IPv4
endpoints: [%s]
"""
# A name server of one address, in as few lines as it takes.
NAMESERVER = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))\n"
    "while True:\n"
    "  q, a = s.recvfrom(4096); e = q.index(b'\\0', 12) + 5\n"
    "  r = b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\x0a\\1\\2\\3'\n"
    "  s.sendto(q[:2] + b'\\x85\\x80\\0\\1\\0\\1\\0\\0\\0\\0' + q[12:e] + r, a)\n"
)
ASK = (
    "import os, socket, time\n"
    "asked, slowest, failed = 0, 0, []\n"
    "while not os.path.exists('/tmp/enough'):\n"
    "  begun = time.monotonic()\n"
    "  try: socket.getaddrinfo('kubernetes.default', 443, proto=6)\n"
    "  except OSError as error: failed.append((str(error), time.monotonic() - begun))\n"
    "  asked, slowest = asked + 1, max(slowest, time.monotonic() - begun)\n"
    "  time.sleep(0.005)\n"
    "print(asked, slowest, failed)\n"
)


class Asker:
    """A Pod with `dig`."""

    def __init__(self, node: Node, namespace: str) -> None:
        self.node, self.namespace = node, namespace

    def full(self, name: str) -> str:
        return f"{name}.{self.namespace}.svc.cluster.local"

    def dig(self, *words: str) -> str:
        return self.node.sh("asker", self.namespace, f"dig {' '.join(words)}", check=False)

    def short(self, *words: str) -> list[str]:
        return sorted(self.dig("+short", *words).split("\n"))[1:]

    def status(self, *words: str) -> str:
        found = re.search(r"status: (\w+)", self.dig(*words))
        return found[1] if found else "none"

    def service(self, name: str) -> str:
        return str(self.node.get("service", name, self.namespace)["spec"]["clusterIP"])


@pytest.fixture
def asker(node: Node, namespace: str) -> Asker:
    endpoints = ", ".join(f"{{addresses: [10.9.{n // 200}.{n % 200 + 1}]}}" for n in range(600))
    node.apply(SERVICES % (namespace, endpoints), namespace)
    node.apply(TOOLBOX % ("asker", "db", "db-0", SLEEP), namespace)
    node.wait_ready("pod/asker", namespace)
    return Asker(node, namespace)


def test_every_sort_of_record(asker: Asker) -> None:
    web, pod_ip = asker.service("web"), asker.node.get("pod", "asker", asker.namespace)["status"]["podIP"]
    assert asker.short(asker.full("web")) == [web]
    assert asker.short("SRV", asker.full("_syslog._udp.web")) == [f"0 100 514 {asker.full('web')}."]
    assert asker.short("-x", web) == [f"{asker.full('web')}."]
    eventually(lambda: asker.short(asker.full("db")) == [pod_ip])
    assert asker.short(asker.full("db-0.db")) == [pod_ip]
    assert asker.short("SRV", asker.full("_sql._tcp.db")) == [f"0 100 5432 {asker.full('db-0.db')}."]
    assert asker.short("-x", pod_ip) == [f"{asker.full('db-0.db')}."]
    assert asker.short(asker.full("alias")) == sorted([f"{asker.full('web')}.", web])
    dashed = pod_ip.replace(".", "-")
    assert asker.short(f"{dashed}.{asker.namespace}.pod.cluster.local") == [pod_ip]
    assert asker.short("TXT", "dns-version.cluster.local") == ['"1.1.0"']
    assert asker.short("NS", "cluster.local") == ["ns.dns.cluster.local."]
    resolver = asker.node.get("service", "kube-dns", "kube-system")["spec"]["clusterIP"]
    assert asker.short("ns.dns.cluster.local") == [resolver]


def test_what_there_is_not_is_denied_at_once(asker: Asker) -> None:
    assert asker.status(asker.full("nope")) == "NXDOMAIN"
    assert asker.status(f"www.example.com.{asker.namespace}.svc.cluster.local") == "NXDOMAIN"
    assert asker.status("MX", asker.full("web")) == "NOERROR"
    assert asker.status(asker.full("_tcp.web")) == "NOERROR"
    assert asker.status(asker.full("*")) == "NXDOMAIN"
    assert asker.status("AXFR", "cluster.local") == "none"  # dig says "Transfer failed."
    assert asker.status("CH", "TXT", "version.bind") == "REFUSED"
    assert "SOA\tns.dns.cluster.local." in asker.dig(asker.full("nope"))


def test_the_search_path_and_the_c_library(asker: Asker) -> None:
    web = asker.service("web")
    names = ["web", f"web.{asker.namespace}", f"web.{asker.namespace}.svc", asker.full("web"), "WeB"]
    look = f"import socket; print(*[socket.gethostbyname(name) for name in {names}])"
    found = asker.node.sh("asker", asker.namespace, f'python3 -c "{look}"', check=False)
    assert found.split() == [web] * len(names), found


def test_many_addresses_are_cut_by_udp_and_whole_by_tcp(asker: Asker) -> None:
    eventually(lambda: len(asker.short("+tcp", asker.full("many"))) == 600)
    cut = asker.dig("+ignore", "+noedns", asker.full("many"))
    assert re.search(r"flags: [^;]*\btc\b", cut) and 20 < len(re.findall(r"\sA\s+10\.9\.", cut)) < 40
    assert len(asker.short(asker.full("many"))) == 600, "by UDP first, then by TCP"


def test_a_name_follows_its_service(asker: Asker) -> None:
    asker.node.kubectl("delete", "service", "web", "-n", asker.namespace)
    eventually(lambda: asker.status(asker.full("web")) == "NXDOMAIN")
    asker.node.apply(SERVICES.split("---")[0], asker.namespace)
    eventually(lambda: asker.short(asker.full("web")) == [asker.service("web")])


@pytest.fixture
def stub(asker: Asker) -> Iterator[str]:
    """A domain whose name server is a Pod, as the configuration says; another text is refused first."""
    node, zone = asker.node, f"{asker.namespace}.test"
    pod = TOOLBOX % ("elsewhere", "elsewhere", "elsewhere", f"python3, -c, {json.dumps(NAMESERVER)}")
    node.apply(pod, asker.namespace)
    node.wait_ready("pod/elsewhere", asker.namespace)
    server = node.get("pod", "elsewhere", asker.namespace)["status"]["podIP"]
    before = node.get("configmap", "coredns", "kube-system")["data"]["Corefile"]

    def write(text: str) -> None:
        change = json.dumps({"data": {"Corefile": text}})
        node.kubectl("patch", "configmap", "coredns", "-n", "kube-system", "--type=merge", "-p", change)

    write(f"{before}\n{zone}:53 {{\n  forwards . {server}\n}}\n")
    eventually(lambda: [e for e in node.events("coredns", "kube-system") if "'forwards'" in e["message"]])
    write(f"{before}\n{zone}:53 {{\n  cache 30\n  forward . {server}\n}}\n")
    yield zone
    write(before)


def test_a_domain_of_somebody_elses(asker: Asker, stub: str) -> None:
    eventually(lambda: asker.short(f"www.{stub}") == ["10.1.2.3"])
    out: dict[str, Any] = {"metadata": {"name": "out"}, "apiVersion": "v1", "kind": "Service"}
    out["spec"] = {"type": "ExternalName", "externalName": f"www.{stub}"}
    asker.node.apply(json.dumps(out), asker.namespace)
    eventually(lambda: asker.short(asker.full("out")) == ["10.1.2.3", f"www.{stub}."])
    assert asker.short(asker.full("web")) == [asker.service("web")]


@pytest.fixture
def mortal(mirror: Mirror, tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path, "names", mirror.url)
    node.up()
    try:
        yield node
    finally:
        if node.data.exists():
            node.down()


def test_nobody_is_refused_while_the_node_is_dead(mortal: Node) -> None:
    mortal.apply(TOOLBOX % ("asker", "asker", "asker", f"python3, -c, {json.dumps(ASK)}"), "default")
    mortal.wait_ready("pod/asker", "default")
    ip = mortal.get("service", "kube-dns", "kube-system")["spec"]["clusterIP"]
    for _ in range(2):
        mortal.kill()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waiting:
            waiting.settimeout(60)
            waiting.sendto(question("kubernetes.default.svc.cluster.local."), (ip, 53))
            mortal.up()  # the question lies in the socket of a process that is no more
            assert addresses(waiting.recv(512))
    mortal.sh("asker", "default", "touch /tmp/enough")
    asked = eventually(lambda: mortal.kubectl("logs", "asker", "-n", "default").out)
    number, slowest_s, failed = asked.split(" ", 2)
    assert int(number) > 10 and failed.strip() == "[]", asked
    assert float(slowest_s) < 30, "no question was lost and had to be asked again"
    holder = keeper.read(nodedns.record(mortal.data))
    mortal.down()
    assert holder is not None
    eventually(lambda: not Path(f"/proc/{holder.pid}").exists())
