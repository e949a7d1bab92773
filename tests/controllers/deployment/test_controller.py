"""Deployment and ReplicaSet controllers over an API server in memory, with a node that readies Pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from harness.world import World, running
from sampan.api import clock
from sampan.api.objects import Obj, annotations_of, condition_of, is_deleting, labels_of, mutable, name_of
from sampan.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from sampan.controllers.deployment.controller import DeploymentController
from sampan.controllers.replicaset.controller import ReplicaSetController


def deployment(image: str = "web:1", replicas: int = 3, **spec: object) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


class Cluster(World):
    def __init__(self, *objects: Obj, broken: tuple[str, ...]) -> None:
        super().__init__(*objects)
        self.broken = set(broken)
        """Images whose Pods never become ready."""
        self.seen: list[tuple[int, int]] = []
        """(all Pods, ready Pods) after every change of a Pod."""

    def get(self) -> Obj:
        found = self.fake.get(DEPLOYMENTS, "web", "default")
        assert found is not None
        return found

    def progress(self) -> str:
        """The reason of `Progressing`."""
        condition = condition_of(self.get(), "Progressing")
        return condition["reason"] if condition else ""

    def sets(self) -> dict[str, Obj]:
        return {image_of(rs["spec"]["template"]): rs for rs in self.fake.objects(REPLICA_SETS)}

    async def change(self, change: Callable[[Obj], None]) -> None:
        obj = mutable(self.get())
        change(obj)
        del obj["metadata"]["resourceVersion"]
        await self.client.update(DEPLOYMENTS, obj)

    async def set_image(self, image: str) -> None:
        def change(obj: Obj) -> None:
            obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

        await self.change(change)

    def state(self) -> object:
        sets = {image: (rs["spec"]["replicas"], rs.get("status")) for image, rs in self.sets().items()}
        return sets, self.get().get("status")

    async def complete(self, image: str, replicas: int) -> None:
        def done() -> bool:
            obj = self.get()
            status = obj.get("status") or {}
            return (
                status.get("observedGeneration") == obj["metadata"]["generation"]
                and status.get("updatedReplicas", 0) == replicas
                and status.get("replicas", 0) == replicas
                and status.get("availableReplicas", 0) == replicas
                and {image_of(pod) for pod in self.fake.objects(PODS)} <= {image}
            )

        await self.until(done, f"{replicas} of {image}")

    async def ready_pods(self) -> None:
        informer = self.informers.informer(PODS)
        fresh: asyncio.Queue[Obj] = asyncio.Queue()

        def changed(old: Obj | None, new: Obj | None) -> None:
            pods = [pod for pod in self.fake.objects(PODS) if not is_deleting(pod)]
            ready = [pod for pod in pods if condition_of(pod, "Ready")]
            self.seen.append((len(pods), len(ready)))
            if old is None and new is not None and image_of(new) not in self.broken:
                fresh.put_nowait(new)

        informer.subscribe(changed)
        while True:
            pod = mutable(await fresh.get())
            if self.fake.get(PODS, name_of(pod), "default") is None:
                continue
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": clock.now()}
            status = {"status": {"phase": "Running", "conditions": [ready]}}
            await self.client.patch(PODS, name_of(pod), status, namespace="default", subresource="status")


def image_of(obj: Obj) -> str:
    return str(obj["spec"]["containers"][0]["image"])


def cluster(*objects: Obj, broken: tuple[str, ...] = ()) -> AbstractAsyncContextManager[Cluster]:
    made = Cluster(*objects, broken=broken)
    return running(made, DeploymentController, ReplicaSetController, beside=made.ready_pods())


async def test_a_deployment_comes_up() -> None:
    async with cluster(deployment()) as world:
        await world.complete("web:1", 3)
        await world.until(
            lambda: condition_of(world.get(), "Progressing")["reason"] == "NewReplicaSetAvailable"
        )
        await world.events.flush()
        obj = world.get()
        (replica_set,) = world.fake.objects(REPLICA_SETS)
        hashed = labels_of(replica_set)["pod-template-hash"]
        assert name_of(replica_set) == f"web-{hashed}"
        assert annotations_of(obj) == {"deployment.kubernetes.io/revision": "1"}
        assert annotations_of(replica_set) == {
            "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
        }
        assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hashed}
        said = await world.messages("ScalingReplicaSet")
        assert said == [f"Scaled up replica set web-{hashed} from 0 to 3"]
        available = condition_of(obj, "Available")
        assert available is not None
        assert (available["status"], available["reason"]) == ("True", "MinimumReplicasAvailable")
        progressing = condition_of(obj, "Progressing")
        assert progressing is not None
        assert progressing["message"] == f'ReplicaSet "web-{hashed}" has successfully progressed.'
        assert {name_of(pod)[: len(hashed) + 5] for pod in world.fake.objects(PODS)} == {f"web-{hashed}-"}


async def test_rolling_update_keeps_the_promised_pods() -> None:
    async with cluster(deployment()) as world:
        await world.complete("web:1", 3)
        world.seen.clear()
        await world.set_image("web:2")
        await world.complete("web:2", 3)
        assert max(total for total, _ in world.seen) <= 4
        assert min(ready for _, ready in world.seen) >= 3
        assert world.sets()["web:1"]["spec"]["replicas"] == 0
        assert annotations_of(world.get())["deployment.kubernetes.io/revision"] == "2"


async def test_undo_makes_the_old_set_the_newest_revision() -> None:
    async with cluster(deployment()) as world:
        await world.complete("web:1", 3)
        await world.set_image("web:2")
        await world.complete("web:2", 3)
        await world.set_image("web:1")
        await world.complete("web:1", 3)
        assert len(world.sets()) == 2
        assert annotations_of(world.get())["deployment.kubernetes.io/revision"] == "3"
        first = annotations_of(world.sets()["web:1"])
        assert first["deployment.kubernetes.io/revision"] == "3"
        assert first["deployment.kubernetes.io/revision-history"] == "1"


async def test_rollover_in_the_middle_of_a_rollout() -> None:
    async with cluster(deployment(), broken=("web:2",)) as world:
        await world.complete("web:1", 3)
        await world.set_image("web:2")
        await world.until(lambda: "web:2" in world.sets())
        await world.set_image("web:3")
        await world.complete("web:3", 3)
        assert {image: rs["spec"]["replicas"] for image, rs in world.sets().items()} == {
            "web:1": 0,
            "web:2": 0,
            "web:3": 3,
        }


async def test_a_broken_image_takes_nothing_down() -> None:
    async with cluster(deployment(), broken=("web:2",)) as world:
        await world.complete("web:1", 3)
        world.seen.clear()
        await world.set_image("web:2")
        await world.until(lambda: (world.get()["status"].get("updatedReplicas", 0)) == 1)
        await asyncio.sleep(0.05)
        assert world.sets()["web:1"]["spec"]["replicas"] == 3
        assert min(ready for _, ready in world.seen) == 3
        assert world.progress() == "ReplicaSetUpdated"


async def test_deadline_is_noticed_without_any_event() -> None:
    obj = deployment("web:2", progressDeadlineSeconds=0)
    async with cluster(obj, broken=("web:2",)) as world:
        await world.until(
            lambda: (
                (condition_of(world.get(), "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded"
            )
        )


async def test_scale_up_and_down() -> None:
    async with cluster(deployment(replicas=1)) as world:
        await world.complete("web:1", 1)
        await world.change(lambda obj: obj["spec"].update(replicas=5))
        await world.complete("web:1", 5)
        await world.change(lambda obj: obj["spec"].update(replicas=0))
        await world.until(lambda: not world.fake.objects(PODS))
        (replica_set,) = world.fake.objects(REPLICA_SETS)
        await world.until(lambda: world.get()["status"].get("replicas", 0) == 0)
        assert replica_set["metadata"]["uid"]


async def test_recreate_never_runs_both() -> None:
    async with cluster(deployment(strategy={"type": "Recreate"})) as world:
        await world.complete("web:1", 3)
        images: list[set[str]] = []
        stop = asyncio.Event()

        async def look() -> None:
            while not stop.is_set():
                images.append({image_of(pod) for pod in world.fake.objects(PODS)})
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await world.set_image("web:2")
        await world.complete("web:2", 3)
        stop.set()
        await looking
        assert {"web:1", "web:2"} not in images


async def test_paused_deployment_scales_but_does_not_roll() -> None:
    async with cluster(deployment()) as world:
        await world.complete("web:1", 3)
        await world.change(lambda obj: obj["spec"].update(paused=True))
        await world.until(lambda: world.progress() == "DeploymentPaused")
        await world.set_image("web:2")
        await world.change(lambda obj: obj["spec"].update(replicas=4))
        await world.until(lambda: world.get()["status"].get("availableReplicas") == 4)
        assert set(world.sets()) == {"web:1"}
        await world.change(lambda obj: obj["spec"].update(paused=False))
        await world.complete("web:2", 4)


async def test_history_is_kept_to_its_limit() -> None:
    async with cluster(deployment(revisionHistoryLimit=1)) as world:
        await world.complete("web:1", 3)
        for image in ("web:2", "web:3", "web:4"):
            await world.set_image(image)
            await world.complete(image, 3)
        await world.until(lambda: set(world.sets()) == {"web:3", "web:4"})


async def test_orphaned_set_is_adopted() -> None:
    async with cluster(deployment()) as world:
        await world.complete("web:1", 3)
        (replica_set,) = world.fake.objects(REPLICA_SETS)
        patch: Obj = {"metadata": {"ownerReferences": None}}
        await world.client.patch(REPLICA_SETS, name_of(replica_set), patch, namespace="default")
        await world.until(lambda: bool(world.sets()["web:1"]["metadata"].get("ownerReferences")))
        assert len(world.sets()) == 1
