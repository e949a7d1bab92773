"""Probes: what it costs the node to ask 1,000 containers whether they are well.

The servers that answer are a process of their own; only the asker's CPU time counts, the kernel's on its
behalf included. Sockets are opened in a namespace by the thread that the kubelet uses for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from report import Report

from sampan.api.objects import Obj
from sampan.kubelet.network.namespace import PinnedNamespace, Traveller
from sampan.kubelet.probers import Prober, Target
from sampan.kubelet.probes import ContainerProbes, Listener
from sampan.kubelet.runtime.fake import FakeRuntime

CONTAINERS = 1000
PERIOD_S = 10
SERVER = """
import asyncio, sys
ANSWERS = {
    "http": b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nContent-Type: text/plain\\r\\n\\r\\nok",
    "grpc": bytes.fromhex("000000040000000000" "0000010104000000018800000700000000000100000000020801"),
}
class Answer(asyncio.Protocol):
    def __init__(self, kind): self.answer = ANSWERS.get(kind, b"")
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        self.transport.write(self.answer)
async def main():
    loop, ports = asyncio.get_running_loop(), []
    for kind in ("http", "tcp", "grpc"):
        server = await loop.create_server(lambda kind=kind: Answer(kind), "127.0.0.1", 0, backlog=1024)
        ports.append(str(server.sockets[0].getsockname()[1]))
    print(*ports, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
asyncio.run(main())
"""


def measure(report: Report) -> None:
    asyncio.run(_measure(report))


async def _measure(report: Report) -> None:
    with _servers() as (http, tcp, grpc):
        kinds: dict[str, Obj] = {
            "httpGet": {"httpGet": {"port": http, "path": "/healthz"}},
            "tcpSocket": {"tcpSocket": {"port": tcp}},
            "grpc": {"grpc": {"port": grpc}},
        }
        for kind, probe in kinds.items():
            share, asked, failed = await _share([probe])
            assert not failed, f"{failed} {kind} probes failed"
            report.add(
                f"{CONTAINERS} containers with {kind}, every 10 s", share * 100, "% of a core", "goal 5"
            )
            report.add(f"the same, one {kind} probe", share * PERIOD_S / asked * 1e6, "µs of CPU")


async def _share(probes: list[Obj]) -> tuple[float, int, int]:
    """(share of a core, probes made, probes failed) over a period, in which each is asked once."""
    traveller = Traveller()
    prober = Prober(FakeRuntime(), PinnedNamespace("/proc/self/ns/net", traveller))
    failures: list[str] = []
    listener = Listener(lambda *_: None, lambda kind, outcome: failures.append(outcome.text))
    running = []
    for number in range(CONTAINERS):
        probe = {**probes[number % len(probes)], "periodSeconds": PERIOD_S}
        target = Target({}, {"name": "c"}, f"c{number}", "127.0.0.1")
        ask = partial(prober.question, target)
        running.append(ContainerProbes({"readinessProbe": probe}, ask, listener))
        running[-1].begin(True)
        await asyncio.sleep(PERIOD_S / CONTAINERS / 2)
    await asyncio.sleep(PERIOD_S / 2)
    failures.clear()
    before_s, begun_s = time.process_time(), time.monotonic()
    await asyncio.sleep(PERIOD_S)
    spent_s, took_s = time.process_time() - before_s, time.monotonic() - begun_s
    for container in running:
        container.end()
    traveller.close()
    return spent_s / took_s, CONTAINERS, len(failures)


@contextlib.contextmanager
def _servers() -> Iterator[list[int]]:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        yield [int(port) for port in server.stdout.readline().split()]
    finally:
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    measure(Report())
