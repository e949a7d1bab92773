"""Pods with labels in real namespaces, and the policies' rules between them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable

from harness import policies
from harness.lab import NODE, Lab, Place, same
from sampan.api.objects import Obj
from sampan.api.resources import NAMESPACES, NETWORK_POLICIES, PODS
from sampan.client.client import Client
from sampan.client.informers import Informers
from sampan.proxy.policy.enforcer import Enforcer, PolicyConfig, dns_stand_in

REFUSED_AFTER_S = 0.2
"""A packet that is let through is answered in well under a millisecond; one that is dropped never is."""
ANSWERED_WITHIN_S = 30.0
PORT = 8080


class PolicyLab:
    """`places` by `namespace/name`; each serves TCP and UDP at PORT unless told otherwise."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.places: dict[str, Place] = {}
        self.enforcer: Enforcer

    def namespaces(self, *names: str) -> None:
        self.lab.api.add(*(policies.namespace(name, ns=name) for name in names))

    async def pod(
        self,
        name: str,
        ns: str = "default",
        serves: Iterable[int] = (PORT,),
        ports: list[Obj] | None = None,
        **labels: str,
    ) -> Place:
        place = await self.lab.pod()
        self.places[f"{ns}/{name}"] = place
        for number in serves:
            await place.serve(number)
        self.lab.api.add(policies.pod(name, ns, *place.ips, ports=ports, **labels))
        return place

    async def settled(self) -> None:
        """Returns when the kernel has been told of everything that the API has."""
        found = self.enforcer
        for _ in range(10_000):
            followed = [(NETWORK_POLICIES, found._policies)]
            if found._pods is not None:
                followed.append((PODS, found._pods))
                followed.append((NAMESPACES, found._informers.informer(NAMESPACES)))
            known = all(same(self.lab.api.objects(kind), informer.list()) for kind, informer in followed)
            if known and found._complete.is_set() and not found._arranged:
                return
            await asyncio.sleep(0.001)
        raise AssertionError("the rules never had everything")

    @contextlib.asynccontextmanager
    async def enforced(self, *added: Obj) -> AsyncIterator[Enforcer]:
        """The rules in force, of what there is and of these policies."""
        self.lab.api.add(*added)
        client = Client(self.lab.api)
        informers = Informers(client)
        stand_ins = (dns_stand_in(tuple(self.lab.node.plan.dns_ips)),)
        config = PolicyConfig(NODE, stand_ins, self.lab.node.plan.node_ips)
        enforcer = Enforcer(client, informers, self.lab.node.socket, config)
        tasks = [asyncio.create_task(informers.run()), asyncio.create_task(enforcer.run())]
        try:
            async with asyncio.timeout(30):
                waiting = asyncio.create_task(enforcer.wait_synced())
                await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
            self.enforcer = enforcer
            yield enforcer
            assert await enforcer.audit() == 0
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def reaches(
    place: Place, address: str, port: int = PORT, *, protocol: str = "tcp", expected: bool = True
) -> bool:
    """Whether a new flow is answered. Somebody who expects an answer waits long for it."""
    limit_s = ANSWERED_WITHIN_S if expected else REFUSED_AFTER_S
    loop = asyncio.get_running_loop()
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with await place.socket(kind, address) as sock:
        try:
            async with asyncio.timeout(limit_s):
                await loop.sock_connect(sock, (address, port))
                if protocol == "udp":
                    await loop.sock_sendall(sock, b"?")
                return bool(await loop.sock_recv(sock, 100))
        except (TimeoutError, PermissionError):
            return False
