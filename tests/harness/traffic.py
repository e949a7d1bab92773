"""A client that never stops asking: what it saw while something else went on.

Run as a program (also inside a Pod) it prints a line when it begins and one JSON line of counts in the end;
`Load` runs it on the host.

    python traffic.py URL SECONDS new|keep|udp [PAUSE_S]
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 20.0
NEW_PAUSE_S = 0.005
"""Between two connections to one address: each takes one of 28,000 ports for a minute. A client without ports
fails by itself, and one that takes a port anew within seconds is led to where its earlier connection was."""
DATAGRAM_TIMEOUT_S = 0.1
DATAGRAM_TRIES = 50


def ask(connection: http.client.HTTPConnection, path: str) -> str:
    """One request; answers which Pod served it (the X-Pod header), or its body's first line."""
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise http.client.HTTPException(f"status {response.status}")
    return response.headers.get("X-Pod") or body[:40].decode("latin-1").strip()


def hammer(
    url: str, seconds: float, mode: str, stopping: threading.Event, pause_s: float | None = None
) -> dict[str, Any]:
    """Asks until the time is over or it is told to stop; `keep` reuses one connection as browsers do.

    A kept connection that the server closed between two requests is opened again without counting a
    failure (RFC 9112, section 9.3.1: a client retries an idempotent request on a connection that was
    closed before any part of the answer came).
    """
    parts = urlsplit(url)
    if pause_s is None:
        pause_s = NEW_PAUSE_S if mode == "new" else 0.0
    served: Counter[str] = Counter()
    failures: list[str] = []
    requests = reopened = 0
    deadline = time.monotonic() + seconds
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S)
    fresh = True
    slowest_s = 0.0
    while time.monotonic() < deadline and not stopping.is_set():
        begun = time.monotonic()
        try:
            served[ask(connection, parts.path or "/")] += 1
            requests += 1
            fresh = False
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            connection.close()
            if mode == "keep" and not fresh:
                reopened += 1
                fresh = True
                continue
            failures.append(repr(error))
        except (OSError, http.client.HTTPException) as error:
            failures.append(repr(error))
            connection.close()
            fresh = True
        slowest_s = max(slowest_s, time.monotonic() - begun)
        if mode == "new":
            connection.close()
            fresh = True
        if pause_s:
            time.sleep(pause_s)
    return {
        "requests": requests,
        "failed": len(failures),
        "failures": failures[:5],
        "reopened": reopened,
        "served": served,
        "slowest_s": round(slowest_s, 3),
    }


def hammer_datagrams(
    url: str, seconds: float, stopping: threading.Event, pause_s: float = 0.001
) -> dict[str, Any]:
    """The same by UDP and one socket, which is one flow to connection tracking.

    A question whose answer does not come is repeated, as every client by UDP does: one that is on its way
    when the flow is moved may be lost.
    """
    parts = urlsplit(url)
    served: Counter[str] = Counter()
    failures: list[str] = []
    repeated = number = 0
    deadline = time.monotonic() + seconds
    slowest_s = 0.0
    family = socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(DATAGRAM_TIMEOUT_S)
        client.connect((parts.hostname or "", parts.port or 0))
        while time.monotonic() < deadline and not stopping.is_set():
            number += 1
            begun = time.monotonic()
            for tried in range(DATAGRAM_TRIES):
                repeated += bool(tried)
                if name := ask_by_datagram(client, number):
                    served[name] += 1
                    break
            else:
                failures.append(f"question {number}")
            slowest_s = max(slowest_s, time.monotonic() - begun)
            time.sleep(pause_s)
    return {
        "requests": served.total(),
        "failed": len(failures),
        "failures": failures[:5],
        "repeated": repeated,
        "served": served,
        "slowest_s": round(slowest_s, 3),
    }


def ask_by_datagram(client: socket.socket, number: int) -> str:
    """Who answered; empty if nobody did, or the kernel said that nobody is there."""
    try:
        client.send(str(number).encode())
        while True:
            asked, name = client.recv(200).decode().split()
            if asked == str(number):
                return name
    except OSError:
        return ""


class Load:
    """`with Load(url) as load: ...` asks all through the block; `load.results` has the counts by mode."""

    def __init__(
        self,
        url: str,
        *,
        modes: tuple[str, ...] = ("new", "keep"),
        max_s: float = 120,
        pause_s: float | None = None,
    ) -> None:
        self._argv = [sys.executable, str(Path(__file__)), url, str(max_s)]
        self._pause = [] if pause_s is None else [str(pause_s)]
        self._modes = modes
        self._clients: dict[str, subprocess.Popen[str]] = {}
        self.results: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Load:
        for mode in self._modes:
            self._clients[mode] = subprocess.Popen(
                [*self._argv, mode, *self._pause], stdout=subprocess.PIPE, text=True
            )
        for client in self._clients.values():
            assert client.stdout is not None
            client.stdout.readline()
        time.sleep(0.3)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for mode, client in self._clients.items():
            client.terminate()
            out, _ = client.communicate()
            if kind is None:
                self.results[mode] = json.loads(out)

    def assert_nothing_lost(self) -> None:
        for mode, counts in self.results.items():
            assert counts["requests"] > 20, f"{mode}: hardly any traffic: {counts}"
            assert counts["failed"] == 0, f"{mode}: {counts}"


def main() -> None:
    url, seconds, mode, *pause = sys.argv[1], float(sys.argv[2]), sys.argv[3], *map(float, sys.argv[4:])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    print("asking", flush=True)
    if mode == "udp":
        counts = hammer_datagrams(url, seconds, stopping, *pause)
    else:
        counts = hammer(url, seconds, mode, stopping, *pause)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
