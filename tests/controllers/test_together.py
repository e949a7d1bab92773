"""All controllers and the scheduler over the real API server in one process; a stand-in for the kubelet."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sampan.api import clock
from sampan.api.errors import StatusError
from sampan.api.objects import Obj, annotations_of, condition_of, is_deleting, mutable, name_of, namespace_of
from sampan.api.request import UserInfo
from sampan.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    Resource,
)
from sampan.apiserver.server import ApiServer, ServerConfig
from sampan.client.client import Client
from sampan.client.events import EventRecorder
from sampan.client.informers import Informers
from sampan.controllers.deployment.controller import DeploymentController
from sampan.controllers.endpoints.controller import EndpointsController
from sampan.controllers.endpointslice.controller import EndpointSliceController
from sampan.controllers.garbagecollector.controller import GarbageCollector
from sampan.controllers.namespace.controller import NamespaceController
from sampan.controllers.nodelifecycle.controller import NodeLifecycleController
from sampan.controllers.podgc.controller import PodGarbageCollector
from sampan.controllers.replicaset.controller import ReplicaSetController
from sampan.controllers.serviceaccount.controller import ServiceAccountController
from sampan.scheduler.scheduler import Scheduler
from sampan.store.memory import MemoryStore

ADMIN = UserInfo("system:kube-controller-manager", ("system:masters", "system:authenticated"))


class Cluster:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def find(self, resource: Resource, name: str, namespace: str = "default") -> Obj | None:
        try:
            return await self.client.get(resource, name, namespace if resource.namespaced else "")
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def items(self, resource: Resource, namespace: str = "default") -> list[Obj]:
        return list((await self.client.list(resource, namespace))["items"])

    async def until(self, true: Callable[[], Awaitable[bool]], what: str) -> None:
        for _ in range(2000):
            if await true():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"never came true: {what}")

    async def complete(self, image: str, replicas: int) -> None:
        async def true() -> bool:
            obj = await self.find(DEPLOYMENTS, "web")
            status = (obj or {}).get("status") or {}
            pods = await self.items(PODS)
            return (
                obj is not None
                and status.get("observedGeneration") == obj["metadata"]["generation"]
                and status.get("availableReplicas", 0) == status.get("replicas", 0) == replicas
                and [pod["spec"]["containers"][0]["image"] for pod in pods] == [image] * replicas
            )

        await self.until(true, f"{replicas} of {image}")

    async def ready_addresses(self) -> set[str]:
        return {
            endpoint["addresses"][0]
            for piece in await self.items(ENDPOINT_SLICES)
            if piece["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
            for endpoint in piece.get("endpoints") or ()
            if endpoint["conditions"]["ready"]
        }

    async def pod_addresses(self) -> set[str]:
        return {pod["status"].get("podIP", "") for pod in await self.items(PODS)}

    async def kubelet(self, informers: Informers) -> None:
        """Every bound Pod is ready at once, and gone as soon as it is to go."""
        await self.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        now = clock.now()
        room = {"cpu": "100", "memory": "100Gi", "pods": "110"}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        await self.client.patch(NODES, "n1", {"status": status}, subresource="status")
        work: asyncio.Queue[Obj] = asyncio.Queue()
        informers.informer(PODS).subscribe(lambda old, new: work.put_nowait(new) if new else None)
        addresses = (f"10.244.{n // 250}.{n % 250 + 2}" for n in itertools.count())
        while True:
            pod = await work.get()
            if not pod["spec"].get("nodeName"):
                continue
            try:
                if is_deleting(pod):
                    where = {"namespace": namespace_of(pod)}
                    await self.client.delete(PODS, name_of(pod), grace_period_s=0, **where)
                elif not pod["status"].get("podIP"):
                    await self._run(pod, next(addresses))
            except StatusError as error:
                if error.code not in (404, 409):
                    raise

    async def _run(self, pod: Obj, address: str) -> None:
        running = mutable(pod)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": clock.now()}
        others = [each for each in running["status"].get("conditions") or () if each["type"] != "Ready"]
        running["status"] |= {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [*others, ready],
        }
        await self.client.update_status(PODS, running)


@asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Cluster]:
    server = ApiServer(ServerConfig(pki_dir=directory / "pki"), MemoryStore(), lambda node: None)
    await server.start()
    client = Client(server.transport(ADMIN))
    informers = Informers(client)
    events = EventRecorder(client, "test")
    it = Cluster(client)
    everything = (
        DeploymentController,
        ReplicaSetController,
        EndpointSliceController,
        EndpointsController,
        NamespaceController,
        GarbageCollector,
        PodGarbageCollector,
        NodeLifecycleController,
        Scheduler,
    )
    parts = [part(client, informers, events).run() for part in everything]
    parts.append(ServiceAccountController(client, informers, events, "PEM").run())
    tasks = [asyncio.create_task(part) for part in (*parts, informers.run(), it.kubelet(informers))]
    try:
        yield it
        assert not [task for task in tasks if task.done()], "a part has ended"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await events.close()
        await server.stop()


def deployment(namespace: str = "default") -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        },
    }


SERVICE: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}


async def test_from_deployment_to_endpoints_and_through_a_rollout(tmp_path: Path) -> None:
    async with cluster(tmp_path) as it:
        await it.client.create(SERVICES, mutable(SERVICE))
        await it.client.create(DEPLOYMENTS, deployment())
        await it.complete("web:1", 3)

        async def listed() -> bool:
            return await it.ready_addresses() == await it.pod_addresses()

        await it.until(listed, "the slices have all Pods")

        async def in_endpoints() -> bool:
            found = await it.find(ENDPOINTS, "web")
            subsets = (found or {}).get("subsets") or []
            return {each["ip"] for sub in subsets for each in sub["addresses"]} == await it.pod_addresses()

        await it.until(in_endpoints, "Endpoints have them too")
        container = {"name": "web", "image": "web:2"}
        patch: Obj = {"spec": {"template": {"spec": {"containers": [container]}}}}
        await it.client.patch(DEPLOYMENTS, "web", patch, namespace="default")
        await it.complete("web:2", 3)
        await it.until(listed, "the slices have followed")
        sets = await it.items(REPLICA_SETS)
        assert sorted(annotations_of(each)["deployment.kubernetes.io/revision"] for each in sets) == [
            "1",
            "2",
        ]
        found = await it.find(DEPLOYMENTS, "web")
        assert found is not None

        async def progressed() -> bool:
            condition = condition_of(await it.find(DEPLOYMENTS, "web") or {}, "Progressing")
            return bool(condition and condition["reason"] == "NewReplicaSetAvailable")

        await it.until(progressed, "the rollout is complete")


async def test_foreground_deletion_takes_the_pods_first(tmp_path: Path) -> None:
    async with cluster(tmp_path) as it:
        await it.client.create(DEPLOYMENTS, deployment())
        await it.complete("web:1", 3)
        await it.client.delete(DEPLOYMENTS, "web", namespace="default", propagation="Foreground")

        async def gone() -> bool:
            if await it.find(DEPLOYMENTS, "web") is not None:
                return False
            assert not await it.items(PODS)
            assert not await it.items(REPLICA_SETS)
            return True

        await it.until(gone, "the Deployment is gone")


async def test_orphaned_pods_stay(tmp_path: Path) -> None:
    async with cluster(tmp_path) as it:
        await it.client.create(DEPLOYMENTS, deployment())
        await it.complete("web:1", 3)
        before = {name_of(pod) for pod in await it.items(PODS)}
        await it.client.delete(DEPLOYMENTS, "web", namespace="default", propagation="Orphan")

        async def gone() -> bool:
            return await it.find(DEPLOYMENTS, "web") is None

        await it.until(gone, "the Deployment is gone")
        await asyncio.sleep(0.05)
        assert {name_of(pod) for pod in await it.items(PODS)} == before
        (replica_set,) = await it.items(REPLICA_SETS)
        assert not replica_set["metadata"].get("ownerReferences")
        await it.client.create(DEPLOYMENTS, deployment())
        await it.complete("web:1", 3)
        assert {name_of(pod) for pod in await it.items(PODS)} == before, "the new one adopted them"


async def test_a_namespace_comes_with_its_ca_and_goes_with_all_it_has(tmp_path: Path) -> None:
    async with cluster(tmp_path) as it:
        named: Obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}
        await it.client.create(NAMESPACES, named)

        async def born() -> bool:
            return await it.find(CONFIG_MAPS, "kube-root-ca.crt", "ns") is not None

        await it.until(born, "the CA is there")
        await it.client.create(DEPLOYMENTS, deployment("ns"))

        async def runs() -> bool:
            return len(await it.items(PODS, "ns")) == 3

        await it.until(runs, "Pods are there")
        await it.client.delete(NAMESPACES, "ns")

        async def gone() -> bool:
            return await it.find(NAMESPACES, "ns") is None

        await it.until(gone, "the namespace is gone")
        assert await it.items(PODS, "ns") == []
        assert await it.items(DEPLOYMENTS, "ns") == []
