"""Services that never stop changing: the noise in which everything else has to work all the same."""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType

from harness.node import Node
from sampan.api.objects import Obj
from sampan.api.resources import ENDPOINT_SLICES, SERVICES
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.https import HttpsTransport

_AT_ONCE = 20


class Churn:
    """`with Churn(node, namespace, services=100) as churn:` changes their endpoints all through the block.

    The Services have no selector and their slices are written here, so nothing but addresses that nobody has
    is changed. `changes` counts what was acknowledged. A request that fails, fails the block.
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
            for start in range(0, len(self._names), _AT_ONCE):
                names = self._names[start : start + _AT_ONCE]
                await asyncio.gather(*(self._make(client, name) for name in names))
            self._begun.set()
            while not self._stopping.is_set():
                name = self._random.choice(self._names)
                await client.patch(
                    ENDPOINT_SLICES, name, {"endpoints": self._endpoints()}, namespace=self._namespace
                )
                self.changes += 1
                await asyncio.sleep(self._pause_s)
        finally:
            await client.close()

    async def _make(self, client: Client, name: str) -> None:
        await client.create(SERVICES, service(self._namespace, name))
        await client.create(ENDPOINT_SLICES, slice_of(self._namespace, name, self._endpoints()))

    def _endpoints(self) -> list[Obj]:
        numbers = self._random.sample(range(2, 250), self._random.randint(1, 4))
        return [{"addresses": [f"192.0.2.{number}"]} for number in numbers]


def service(namespace: str, name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"port": 80}]},
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
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }
