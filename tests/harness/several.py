"""Several nodes of real namespaces on one LAN, each a lab; they share an API in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

from harness.lab import Lab
from sampan.api.objects import Obj
from sampan.api.resources import NODES
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.kubelet.network import namespace
from sampan.kubelet.network.node import ensure_node
from sampan.kubelet.network.plan import NodePlan
from sampan.kubelet.network.routes import NodeRoutes


def node_object(plan: NodePlan, name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"podCIDRs": list(plan.pod_cidrs)},
        "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in plan.node_ips]},
    }


class Several:
    """Nodes named n0, n1, ..., each a lab of its own, and one API."""

    def __init__(self, root: Path, overlay: bool, families: Sequence[int]) -> None:
        self.root, self.overlay, self.families = root, overlay, families
        self.name = f"test-{uuid4().hex[:8]}"
        self.client = Client(FakeTransport())
        self.informers = Informers(self.client)
        self.labs: list[Lab] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def add(self) -> Lab:
        number = len(self.labs)
        own = self.root / f"n{number}"
        memory, lan = self.root / "network.json", self.root / "lan"
        node = await ensure_node(
            self.name,
            own / "net",
            memory,
            number=number,
            lan=lan,
            overlay=self.overlay,
            families=self.families,
        )
        lab = Lab(own, node)
        self.labs.append(lab)
        await lab.network.open()
        await self.client.create(NODES, node_object(node.plan, f"n{number}"))
        await self.start(lab)
        return lab

    async def start(self, lab: Lab) -> asyncio.Task[None]:
        routes = NodeRoutes(lab.node, self.informers, f"n{self.labs.index(lab)}")
        task = asyncio.create_task(routes.run())
        self.tasks.append(task)
        waiting = asyncio.create_task(routes.ready.wait())
        async with asyncio.timeout(30):
            await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        return task

    async def close(self) -> None:
        await end(self.tasks)
        for lab in reversed(self.labs):
            for close in lab.closing:
                close()
            lab.network.close()
            for pin in lab.pods:
                namespace.unpin(pin)
            await lab.node.remove()
            lab.node.close()


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def several(
    root: Path, *, overlay: bool = False, families: Sequence[int] = ()
) -> AsyncIterator[Several]:
    """Nothing of it is left afterwards."""
    made = Several(root, overlay, families)
    made.tasks.append(asyncio.create_task(made.informers.run()))
    try:
        yield made
    finally:
        await made.close()
