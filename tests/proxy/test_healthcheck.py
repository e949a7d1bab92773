"""`healthCheckNodePort` as load balancers see it, on sockets of this test's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable

from sampan.proxy.healthcheck import HealthChecks, page
from sampan.proxy.rules import HealthCheck

NONE = HealthCheck(0, 0)


async def plain(family: int, kind: int, proto: int) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    sock.setblocking(False)
    return sock


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Checks(HealthChecks):
    def __init__(self) -> None:
        self.good = True
        self.told: list[tuple[str, int]] = []
        super().__init__(plain, (4,), lambda: self.good, lambda s, port, e: self.told.append((s, port)))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def ask(port: int, path: str = "/healthz") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; waits for the port to be opened."""
    async with asyncio.timeout(30):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


async def until(done: Callable[[], object]) -> None:
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


def test_page_as_upstream_writes_it() -> None:
    found = page("default/web", 2, healthy=True)
    assert found.status == 200
    assert json.loads(found.body) == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    assert found.headers == {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": "2",
    }
    assert page("default/web", 0, healthy=True).status == 503
    assert page("default/web", 2, healthy=False).status == 503


async def test_port_opens_and_closes_with_the_service_and_counts_as_they_come() -> None:
    checks, port = Checks(), free_port()
    async with checks.running():
        checks.want("default/web", HealthCheck(port, 1))
        status, headers, body = await ask(port, "/anything")
        assert (status, headers["X-Load-Balancing-Endpoint-Weight"]) == (200, "1")
        assert json.loads(body)["localEndpoints"] == 1
        checks.want("default/web", HealthCheck(port, 0))
        assert (await ask(port))[0] == 503
        checks.want("default/web", None)
        await until(lambda: not is_open(port))


async def test_port_passes_to_another_service_in_one_turn() -> None:
    checks, port, other = Checks(), free_port(), free_port()
    async with checks.running():
        checks.want("default/a", HealthCheck(port, 1))
        await ask(port)
        checks.want("default/b", HealthCheck(port, 3))
        checks.want("default/a", HealthCheck(other, 1))
        await ask(other)
        assert json.loads((await ask(port))[2])["service"]["name"] == "b"
        assert checks.told == []


async def test_taken_port_is_told_and_tried_again_with_the_next_change() -> None:
    checks, port = Checks(), free_port()
    async with checks.running():
        with socket.socket() as holder:
            holder.bind(("0.0.0.0", port))
            holder.listen()
            checks.want("default/web", HealthCheck(port, 1))
            await until(lambda: checks.told)
        assert checks.told == [("default/web", port)]
        checks.want("default/web", HealthCheck(port, 2))
        assert (await ask(port))[0] == 200


async def test_ports_close_when_the_proxy_stops() -> None:
    checks, port = Checks(), free_port()
    async with checks.running():
        checks.want("default/web", HealthCheck(port, 1))
        await ask(port)
    await until(lambda: not is_open(port))
