"""Whatever fails on the way, controllers end where they would have ended without."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from sampan.api import clock
from sampan.api.errors import conflict, status_error
from sampan.api.objects import Obj, is_deleting, mutable, name_of
from sampan.api.resources import DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, PODS, REPLICA_SETS
from sampan.client.client import Client
from sampan.client.errors import Unreachable
from sampan.client.events import EventRecorder
from sampan.client.fake import FakeTransport
from sampan.client.informers import Informers
from sampan.controllers.deployment.controller import DeploymentController
from sampan.controllers.endpoints.controller import EndpointsController
from sampan.controllers.endpointslice.controller import EndpointSliceController
from sampan.controllers.replicaset import controller as replicasets
from sampan.controllers.replicaset import unseen
from sampan.controllers.replicaset.controller import ReplicaSetController

WRITES = [
    ("create", "pods"),
    ("delete", "pods"),
    ("create", "replicasets"),
    ("patch", "replicasets"),
    ("update", "replicasets/status"),
    ("patch", "deployments"),
    ("update", "deployments/status"),
    ("create", "endpointslices"),
    ("update", "endpointslices"),
    ("create", "endpoints"),
    ("update", "endpoints"),
]
FAILURES: list[Callable[[], Exception]] = [
    lambda: conflict(PODS, "x"),
    lambda: status_error(500, "InternalError", "Internal error occurred: boom"),
    lambda: Unreachable("no answer"),
]


def objects() -> list[Obj]:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "web:0"}]},
    }
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default", "generation": 1},
            "spec": {
                "replicas": 6,
                "selector": {"matchLabels": {"app": "web"}},
                "template": template,
                "strategy": rolling,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
        },
    ]


def ready_all(fake: FakeTransport) -> None:
    """What a kubelet would do, at once and for all Pods."""
    for number, pod in enumerate(fake.objects(PODS)):
        if not pod.get("status") and not is_deleting(pod):
            running = mutable(pod)
            ip = f"10.244.{fake.revision % 250}.{number + 1}"
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": clock.now()}
            running["status"] = {"phase": "Running", "podIP": ip, "conditions": [ready]}
            fake.add(running)


def settled(fake: FakeTransport, image: str, replicas: int) -> bool:
    pods = fake.objects(PODS)
    if [pod["spec"]["containers"][0]["image"] for pod in pods] != [image] * replicas:
        return False
    addresses = sorted(pod.get("status", {}).get("podIP", "") for pod in pods)
    listed = sorted(
        endpoint["addresses"][0]
        for piece in fake.objects(ENDPOINT_SLICES)
        for endpoint in piece["endpoints"]
        if endpoint["conditions"]["ready"]
    )
    found = fake.get(ENDPOINTS, "web", "default") or {}
    older = sorted(each["ip"] for sub in found.get("subsets") or () for each in sub.get("addresses", ()))
    status = (fake.get(DEPLOYMENTS, "web", "default") or {}).get("status") or {}
    return (
        addresses == listed == older
        and sum(rs["spec"]["replicas"] for rs in fake.objects(REPLICA_SETS)) == replicas
        and status.get("availableReplicas", 0) == status.get("updatedReplicas", 0) == replicas
    )


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unseen, "DOUBTFUL_S", 0.2)
    monkeypatch.setattr(replicasets, "DOUBTFUL_S", 0.2)


@pytest.mark.parametrize("seed", range(8))
async def test_all_settles_whatever_fails_on_the_way(seed: int) -> None:
    chance = random.Random(seed)
    fake = FakeTransport(*objects())
    client = Client(fake)
    informers = Informers(client)
    events = EventRecorder(client, "test")
    parts = (DeploymentController, ReplicaSetController, EndpointSliceController, EndpointsController)
    runs = [part(client, informers, events).run() for part in parts]
    tasks = [asyncio.create_task(run) for run in (*runs, informers.run())]
    image, replicas = "web:0", 6
    failing = chance.sample(WRITES * 2, 2 * len(WRITES))
    try:
        for turn in range(1, 25):
            # Each kind of write fails twice at most: the pauses between tries double each time.
            if failing:
                fake.fail(*failing.pop(), chance.choice(FAILURES)())
            match chance.randrange(6):
                case 0:
                    fake.end_watches()
                case 1:
                    fake.compact()
                    fake.end_watches()
                case 2 if pods := fake.objects(PODS):
                    fake.remove(PODS, name_of(chance.choice(pods)), "default")
                case 3:
                    image = f"web:{turn}"
                case 4:
                    replicas = chance.randrange(1, 9)
            wanted = mutable(fake.get(DEPLOYMENTS, "web", "default") or {})
            wanted["spec"]["replicas"] = replicas
            wanted["spec"]["template"]["spec"]["containers"][0]["image"] = image
            if wanted["spec"] != (fake.get(DEPLOYMENTS, "web", "default") or {})["spec"]:
                wanted["metadata"]["generation"] += 1
                fake.add(wanted)
            for _ in range(chance.randrange(20)):
                ready_all(fake)
                await asyncio.sleep(0.001)
        for _ in range(5000):
            ready_all(fake)
            if settled(fake, image, replicas):
                break
            await asyncio.sleep(0.002)
        state = [(name_of(rs), rs["spec"]["replicas"], rs.get("status")) for rs in fake.objects(REPLICA_SETS)]
        assert settled(fake, image, replicas), (seed, image, replicas, state)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await events.close()
