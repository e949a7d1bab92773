"""A neighbour of the host that has no route to Pods: the world outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from uuid import uuid4

from harness.lab import Lab, Place
from sampan.kubelet.network import namespace


@contextlib.asynccontextmanager
async def outside(lab: Lab) -> AsyncIterator[Place]:
    """In a /30 of its own, so that tests which run at the same time do not meet."""
    pin = lab.root / "outside"
    await asyncio.to_thread(namespace.create, pin)
    link = f"out{uuid4().hex[:8]}"
    base = os.getpid() % 63 * 4
    here, there = f"203.0.113.{base + 1}", f"203.0.113.{base + 2}"
    enter = ("nsenter", f"--net={pin}", "ip")
    _run("ip", "link", "add", link, "type", "veth", "peer", "name", f"p{link}")
    try:
        with pin.open("rb") as descriptor:
            path = f"/proc/{os.getpid()}/fd/{descriptor.fileno()}"
            _run("ip", "link", "set", f"p{link}", "netns", path)
        _run("ip", "addr", "add", f"{here}/30", "dev", link)
        _run("ip", "link", "set", link, "up")
        _run(*enter, "addr", "add", f"{there}/30", "dev", f"p{link}")
        _run(*enter, "link", "set", f"p{link}", "up")
        yield Place(lab, str(pin), there)
    finally:
        _run("ip", "link", "del", link)
        namespace.unpin(pin)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
