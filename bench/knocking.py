"""Somebody who knocks at a Service's address without pause, in a process of his own: when was he let in?

    python knocking.py ADDRESS PORT

For each line that comes he knocks until a connection is made, and prints the moment on the monotonic clock,
which is the same for all processes. Until he is let in he must be refused: then knocking costs microseconds.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time

_PAUSE_S = 0.0001


class Knocker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def at(cls, address: str, port: int) -> Knocker:
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, address, str(port)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def let_in_s(self) -> float:
        assert self._process.stdout is not None
        return float(await self._process.stdout.readline())

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


def main() -> None:
    address = (sys.argv[1], int(sys.argv[2]))
    for _ in sys.stdin:
        while True:
            try:
                socket.create_connection(address, timeout=1).close()
            except OSError:
                time.sleep(_PAUSE_S)
            else:
                break
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    main()
