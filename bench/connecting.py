"""How long `connect()` takes from one namespace, to several addresses in turn: all see the same machine.

As a program it stands in the client's place and prints one JSON line: the p50 and p99 of each address in µs.

    nsenter --net=PIN python connecting.py ROUNDS ADDRESS:PORT...
"""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROUNDS = 6000
_WARM = 200
_AT_ONCE_GONE = struct.pack("ii", 1, 0)
"""SO_LINGER: closed by a reset, so that no port waits."""

SERVER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, backlog=4096)
print("listening", flush=True)
while True:
    listener.accept()[0].close()
"""


class Latency(NamedTuple):
    p50_us: float
    p99_us: float


@contextlib.contextmanager
def server(pin: Path | str, address: str, port: int) -> Iterator[None]:
    """Somebody who accepts, inside the network namespace pinned there."""
    words = ["nsenter", f"--net={pin}", sys.executable, "-c", SERVER, address, str(port)]
    serving = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert serving.stdout is not None and serving.stdout.readline()
        yield
    finally:
        serving.kill()
        serving.wait()
        serving.stdout.close()


def latencies(pin: Path | str, *addresses: tuple[str, int], rounds: int = ROUNDS) -> list[Latency]:
    """Of each address, asked from inside that namespace."""
    words = [f"{address}:{port}" for address, port in addresses]
    program = ["nsenter", f"--net={pin}", sys.executable, __file__, str(rounds), *words]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return [Latency(*pair) for pair in json.loads(done.stdout)]


def _series(addresses: list[tuple[str, int]], rounds: int) -> list[list[float]]:
    took_us: list[list[float]] = [[] for _ in addresses]
    for _ in range(rounds + _WARM):
        for series, address in zip(took_us, addresses, strict=True):
            with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE_GONE)
                begun = time.perf_counter_ns()
                client.connect(address)
                series.append((time.perf_counter_ns() - begun) / 1000)
    return [series[_WARM:] for series in took_us]


def main() -> None:
    parts = [word.rpartition(":") for word in sys.argv[2:]]
    addresses = [(host, int(port)) for host, _, port in parts]
    found = _series(addresses, int(sys.argv[1]))
    print(json.dumps([(statistics.median(took), sorted(took)[len(took) * 99 // 100]) for took in found]))


if __name__ == "__main__":
    main()
