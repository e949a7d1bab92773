"""Services that never stop changing: the noise in which everything else has to work all the same."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

from harness.node import Node
from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.https import HttpsTransport

_AT_ONCE = 20


class Churn:
    """`with Churn(node, namespace, services=100) as churn:` changes Services all through the block.

    Most changes are other endpoints; now and then a Service gets other fields, or goes and comes back with
    another address. They have no selector and their slices are written here, so nobody's server is among
    them. `changes` counts what was acknowledged. A request that fails, fails the block.
    """

    def __init__(self, node: Node, namespace: str, *, services: int, a_second: float = 50) -> None:
        self.changes = 0
        self._node, self._namespace = node, namespace
        self._names = [f"churn-{number}" for number in range(services)]
        self._pause_s = 1 / a_second
        self._random = random.Random(services)
        self._stopping = threading.Event()
        self._begun = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Churn:
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._change())
        except BaseException as failure:
            self._failure = failure
        finally:
            self._begun.set()

    async def _change(self) -> None:
        client = Client(HttpsTransport.to(kubeconfig.access(self._node.data / "kubeconfig")))
        try:
            await self._of_all(lambda name: self._make(client, name))
            self._begun.set()
            due_s = time.monotonic()
            while not self._stopping.is_set():
                await self._one(client, self._random.choice(self._names))
                due_s = max(due_s + self._pause_s, time.monotonic() - 1)
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await self._of_all(lambda name: self._delete(client, name))
        finally:
            await client.close()

    async def _of_all(self, act: Callable[[str], Awaitable[None]]) -> None:
        for start in range(0, len(self._names), _AT_ONCE):
            await asyncio.gather(*map(act, self._names[start : start + _AT_ONCE]))

    async def _one(self, client: Client, name: str) -> None:
        draw = self._random.random()
        if draw < _OTHER_ENDPOINTS:
            patch = {"endpoints": self._endpoints()}
            await client.patch(ENDPOINT_SLICES, name, patch, namespace=self._namespace)
        elif draw < _OTHER_FIELDS:
            patch = {"spec": self._random.choice(_FIELDS)}
            await client.patch(SERVICES, name, patch, namespace=self._namespace)
        else:
            await client.delete(SERVICES, name, namespace=self._namespace)
            await self._come_back(client, name)
        self.changes += 1

    async def _come_back(self, client: Client, name: str) -> None:
        """As soon as a load balancer's finalizer has gone."""
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.create(SERVICES, service(self._namespace, name))
                except StatusError as error:
                    if error.reason != "AlreadyExists":
                        raise
                    await asyncio.sleep(0.01)
                else:
                    return

    async def _make(self, client: Client, name: str) -> None:
        await client.create(SERVICES, service(self._namespace, name))
        await client.create(ENDPOINT_SLICES, slice_of(self._namespace, name, self._endpoints()))

    async def _delete(self, client: Client, name: str) -> None:
        await client.delete(ENDPOINT_SLICES, name, namespace=self._namespace)
        await client.delete(SERVICES, name, namespace=self._namespace)

    def _endpoints(self) -> list[Obj]:
        numbers = self._random.sample(range(2, 250), self._random.randint(0, 4))
        return [{"addresses": [f"192.0.2.{number}"]} for number in numbers]


_OTHER_ENDPOINTS, _OTHER_FIELDS = 0.8, 0.9
_FIELDS: tuple[Obj, ...] = (
    {"type": "NodePort"},
    {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    {"type": "ClusterIP", "externalTrafficPolicy": None, "loadBalancerSourceRanges": None},
    {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
    {"sessionAffinity": "None", "sessionAffinityConfig": None},
    {"internalTrafficPolicy": "Local"},
    {"internalTrafficPolicy": "Cluster"},
)


def service(namespace: str, name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]},
    }


def slice_of(namespace: str, name: str, endpoints: list[Obj]) -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "test"},
        },
        "addressType": "IPv4",
        "ports": [
            {"name": "http", "port": 8080, "protocol": "TCP"},
            {"name": "dns", "port": 5353, "protocol": "UDP"},
        ],
        "endpoints": endpoints,
    }
