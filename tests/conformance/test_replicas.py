"""Deployments, ReplicaSets and ReplicationControllers keep what they were asked for."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from harness.conformance import conforms
from harness.kind import Kind
from harness.life import labelled
from harness.node import LIMIT_S, eventually
from harness.scene import Manifest, Scene, box, condition, pod

LABELS = {"app": "replicas"}
HOSTNAMES = "mkdir -p /www && hostname > /www/index.html && exec busybox httpd -f -p 9376 -h /www"
FINISHED = ("Failed", "Succeeded")
"""Phases of Pods that run no more, though their objects may still be there."""


def template(image: str = "busybox", command: str = "sleep 600", labels: Manifest = LABELS) -> Manifest:
    return pod("x", box(command, image=image), labels=labels, restartPolicy="Always")


class Replicated:
    """One kind that keeps Pods, and the objects of it in a namespace."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene, self.name = scene, name
        self.api = scene.core if name == "replication_controller" else client.AppsV1Api(scene.api)
        self.kind = Kind(self.api, name, scene.namespace)

    def create(self, name: str = "r", replicas: int = 1, of: Manifest | None = None, **more: Any) -> Any:
        made = of or template()
        labels = made["metadata"]["labels"]
        selector = labels if self.name == "replication_controller" else {"matchLabels": labels}
        spec = {"replicas": replicas, "selector": selector, "template": made, **more}
        body = labelled(name, self.scene.namespace, spec=spec)
        body["metadata"]["labels"].update(labels)
        return self.kind.create(body)

    def part(self, verb: str, part: str, *body: Any, name: str = "r") -> Any:
        """`part("patch", "scale", change)`."""
        call = getattr(self.api, f"{verb}_namespaced_{self.name}_{part}")
        return call(name, self.scene.namespace, *body)

    def ready(self, count: int, name: str = "r", timeout_s: float = LIMIT_S) -> Any:
        def look() -> Any:
            seen = self.kind.read(name)
            status = seen.status
            return seen if (status.ready_replicas or 0) == count == status.replicas else None

        return eventually(look, timeout_s)


@pytest.fixture
def sets(scene: Scene) -> Replicated:
    return Replicated(scene, "replica_set")


@pytest.fixture
def controllers(scene: Scene) -> Replicated:
    return Replicated(scene, "replication_controller")


@pytest.fixture
def deployments(scene: Scene) -> Replicated:
    return Replicated(scene, "deployment")


def pods(scene: Scene, selector: str = "app=replicas") -> list[client.V1Pod]:
    return list(scene.core.list_namespaced_pod(scene.namespace, label_selector=selector).items)


def owner(seen: client.V1Pod) -> str:
    return next((each.name for each in seen.metadata.owner_references or () if each.controller), "")


def scaled(it: Replicated) -> None:
    """GET, PUT and PATCH of the scale subresource."""
    it.create()
    it.ready(1)
    assert it.part("read", "scale").spec.replicas == 1
    wanted = it.part("read", "scale")
    wanted.metadata.resource_version = None
    wanted.spec.replicas = 2
    assert it.part("replace", "scale", wanted).spec.replicas == 2
    it.ready(2)
    it.part("patch", "scale", {"spec": {"replicas": 3}})
    it.ready(3)


def status_written(it: Replicated) -> None:
    """GET, PATCH and PUT of the status subresource; the controller may take it back at once."""
    it.create()
    it.ready(1)
    assert it.part("read", "status").status.replicas == 1
    patched = {"type": "StatusPatched", "status": "True"}
    answer = it.part("patch", "status", {"status": {"conditions": [patched]}})
    assert "StatusPatched" in [each.type for each in answer.status.conditions]

    def replaced() -> Any:
        seen = it.part("read", "status")
        seen.status.conditions = [{"type": "StatusUpdated", "status": "True"}]
        try:
            return it.part("replace", "status", seen)
        except client.ApiException as error:
            assert error.status == 409
            return None

    assert [each.type for each in eventually(replaced).status.conditions] == ["StatusUpdated"]


def adopted(it: Replicated) -> None:
    it.scene.ready(pod("orphan", box("sleep 600"), labels=LABELS, restartPolicy="Always"))
    it.create()
    eventually(lambda: owner(it.scene.get("orphan")) == "r")
    assert len(pods(it.scene)) == 1


def released(it: Replicated, name: str) -> None:
    change = {"metadata": {"labels": {"app": "stray"}}}
    it.scene.core.patch_namespaced_pod(name, it.scene.namespace, change)
    eventually(lambda: owner(it.scene.get(name)) == "")
    it.ready(1)


def serves(it: Replicated) -> None:
    it.create(of=template("toolbox", HOSTNAMES))
    it.ready(1)
    (found,) = pods(it.scene)
    it.scene.ready(pod("asker", box("sleep 60", image="toolbox")))
    question = f"curl -s --max-time 1 http://{found.status.pod_ip}:9376; true"
    eventually(lambda: it.scene.sh("asker", question).strip() == found.metadata.name)


# -- ReplicaSet


@conforms("[sig-apps] ReplicaSet Replicaset should have a working scale subresource")
def test_scale_of_a_replica_set(sets: Replicated) -> None:
    scaled(sets)


@conforms("[sig-apps] ReplicaSet should validate Replicaset Status endpoints")
def test_status_of_a_replica_set(sets: Replicated) -> None:
    status_written(sets)


@conforms("[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods")
def test_a_replica_set_adopts_and_releases(sets: Replicated) -> None:
    adopted(sets)
    released(sets, "orphan")


@conforms("[sig-apps] ReplicaSet should serve a basic image on each replica with a public image")
def test_a_replica_set_serves(sets: Replicated) -> None:
    serves(sets)


@conforms("[sig-apps] ReplicaSet Replace and Patch tests")
def test_a_replica_set_is_patched(sets: Replicated) -> None:
    sets.create()
    sets.ready(1)
    sets.part("patch", "scale", {"spec": {"replicas": 2}})
    sets.ready(2)
    containers = [{"name": "c", "image": "busybox:1.36"}]
    labels = {"metadata": {"labels": {"test-rs": "patched"}}}
    change = {**labels, "spec": {"replicas": 3, "template": {"spec": {"containers": containers}}}}
    patched = sets.kind.patch("r", change)
    assert patched.metadata.labels["test-rs"] == "patched"
    assert patched.spec.template.spec.containers[0].image == "busybox:1.36"
    sets.ready(3)


@conforms("[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets")
def test_a_collection_of_replica_sets_is_deleted(sets: Replicated) -> None:
    chosen = f"of={sets.scene.namespace}"
    sets.create(replicas=2)
    assert len(sets.kind.list(chosen)) == 1
    sets.kind.delete_all(chosen)
    eventually(lambda: not sets.kind.list(chosen))


# -- ReplicationController


@conforms("[sig-apps] ReplicationController should get and update a ReplicationController scale")
def test_scale_of_a_controller(controllers: Replicated) -> None:
    scaled(controllers)


@conforms("[sig-apps] ReplicationController should adopt matching pods on creation")
def test_a_controller_adopts(controllers: Replicated) -> None:
    adopted(controllers)


@conforms("[sig-apps] ReplicationController should release no longer matching pods")
def test_a_controller_releases(controllers: Replicated) -> None:
    controllers.create()
    controllers.ready(1)
    released(controllers, pods(controllers.scene)[0].metadata.name)


@conforms("[sig-apps] ReplicationController should serve a basic image on each replica with a public image")
def test_a_controller_serves(controllers: Replicated) -> None:
    serves(controllers)


@conforms(
    "[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota"
)
def test_a_controller_says_why_it_cannot(controllers: Replicated) -> None:
    scene = controllers.scene
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}}
    scene.core.create_namespaced_resource_quota(scene.namespace, quota)
    eventually(lambda: scene.core.read_namespaced_resource_quota("q", scene.namespace).status.hard)
    controllers.create(replicas=3)

    def failing() -> bool:
        return condition(controllers.kind.read("r"), "ReplicaFailure") is not None

    eventually(failing)
    controllers.part("patch", "scale", {"spec": {"replicas": 2}})
    eventually(lambda: not failing())


@conforms("[sig-apps] ReplicationController should test the lifecycle of a ReplicationController")
def test_life_of_a_controller(controllers: Replicated) -> None:
    chosen = f"of={controllers.scene.namespace}"
    controllers.create()
    controllers.ready(1)
    assert controllers.kind.label("r", **{"test-rc": "patched"}).metadata.labels["test-rc"] == "patched"
    answer = controllers.part("patch", "status", {"status": {"readyReplicas": 0, "availableReplicas": 0}})
    assert not answer.status.ready_replicas
    assert controllers.part("read", "status").metadata.name == "r"
    controllers.part("patch", "scale", {"spec": {"replicas": 2}})
    controllers.ready(2)
    controllers.kind.relabel("r", updated="yes")
    found = controllers.scene.core.list_replication_controller_for_all_namespaces(label_selector=chosen)
    assert [each.metadata.labels["updated"] for each in found.items] == ["yes"]
    controllers.kind.delete_all(chosen)
    eventually(lambda: not controllers.kind.list(chosen))


# -- Deployment


def revision(it: Any) -> str:
    return str((it.metadata.annotations or {}).get("deployment.kubernetes.io/revision"))


def rolled_out(it: Replicated, timeout_s: float = LIMIT_S) -> Any:
    def look() -> Any:
        seen = it.kind.read("r")
        wanted, status = seen.spec.replicas, seen.status
        done = (status.observed_generation or 0) >= seen.metadata.generation
        counts = (status.updated_replicas, status.replicas, status.available_replicas)
        return seen if done and counts == (wanted, wanted, wanted) else None

    return eventually(look, timeout_s)


def new_image(it: Replicated, image: str) -> None:
    containers = [{"name": "c", "image": image}]
    it.kind.patch("r", {"spec": {"template": {"spec": {"containers": containers}}}})


def image_of(seen: Any) -> str:
    return str(seen.spec.template.spec.containers[0].image)


@conforms("[sig-apps] Deployment Deployment should have a working scale subresource")
def test_scale_of_a_deployment(deployments: Replicated) -> None:
    scaled(deployments)


@conforms("[sig-apps] Deployment should validate Deployment Status endpoints")
def test_status_of_a_deployment(deployments: Replicated) -> None:
    status_written(deployments)


@conforms("[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones")
def test_recreate_never_runs_both(deployments: Replicated) -> None:
    deployments.create(replicas=2, strategy={"type": "Recreate"})
    rolled_out(deployments)
    new_image(deployments, "busybox:1.36")
    images: list[set[str]] = []

    def over() -> bool:
        running = [each for each in pods(deployments.scene) if each.status.phase not in FINISHED]
        images.append({each.spec.containers[0].image for each in running})
        return images[-1] == {"busybox:1.36"}

    eventually(over, every_s=0.01)
    assert all(len(seen) < 2 for seen in images)
    rolled_out(deployments)


@conforms("[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones")
def test_rolling_update_takes_over_a_replica_set(deployments: Replicated, sets: Replicated) -> None:
    old = sets.create("old", of=template("busybox:1.36"))
    sets.ready(1, "old")
    sets.kind.patch("old", {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "35"}}})
    deployments.create(of=template("busybox:latest"))
    seen = rolled_out(deployments)
    listed = {each.metadata.name: each for each in sets.kind.list()}
    assert owner(listed["old"]) == "r" and not listed["old"].spec.replicas
    (new,) = [each for name, each in listed.items() if name != "old"]
    assert revision(new) == revision(seen) == "36"
    assert old.metadata.uid == listed["old"].metadata.uid


@conforms("[sig-apps] Deployment deployment should delete old replica sets")
def test_old_replica_sets_are_deleted(deployments: Replicated, sets: Replicated) -> None:
    deployments.create(revisionHistoryLimit=0)
    rolled_out(deployments)
    new_image(deployments, "busybox:1.36")
    rolled_out(deployments)
    eventually(lambda: [image_of(each) for each in sets.kind.list()] == ["busybox:1.36"])


@conforms("[sig-apps] Deployment deployment should support rollover")
def test_the_newest_template_wins(deployments: Replicated, sets: Replicated) -> None:
    deployments.create(replicas=2)
    rolled_out(deployments)
    for image in ("nobody/none:1", "nobody/none:2", "busybox:1.36"):
        new_image(deployments, image)
    rolled_out(deployments)
    running = {image_of(each): each.spec.replicas for each in sets.kind.list() if each.spec.replicas}
    assert running == {"busybox:1.36": 2}


@conforms("[sig-apps] Deployment deployment should support proportional scaling")
def test_a_stuck_rollout_scales_in_proportion(deployments: Replicated, sets: Replicated) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    deployments.create(replicas=10, strategy=strategy)
    rolled_out(deployments)
    new_image(deployments, "nobody/none:1")

    def sizes() -> dict[str, int]:
        return {image_of(each): each.spec.replicas for each in sets.kind.list()}

    eventually(lambda: sizes() == {"busybox": 8, "nobody/none:1": 5})
    eventually(lambda: deployments.kind.read("r").status.available_replicas == 8)
    deployments.part("patch", "scale", {"spec": {"replicas": 30}})
    eventually(lambda: sizes() == {"busybox": 20, "nobody/none:1": 13})


@conforms("[sig-apps] Deployment should run the lifecycle of a Deployment")
def test_life_of_a_deployment(deployments: Replicated) -> None:
    chosen = f"of={deployments.scene.namespace}"
    deployments.create()
    rolled_out(deployments)
    containers = [{"name": "c", "image": "busybox:1.36"}]
    labels = {"metadata": {"labels": {"test": "patched"}}}
    change = {**labels, "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}}}
    assert deployments.kind.patch("r", change).metadata.labels["test"] == "patched"
    rolled_out(deployments)
    found = client.AppsV1Api(deployments.scene.api).list_deployment_for_all_namespaces(label_selector=chosen)
    assert len(found.items) == 1
    assert deployments.part("read", "status").status.replicas == 2
    deployments.part("patch", "status", {"status": {"readyReplicas": 0, "availableReplicas": 0}})
    eventually(lambda: deployments.kind.read("r").status.ready_replicas == 2)
    deployments.kind.relabel("r", updated="yes")
    deployments.kind.delete_all(chosen)
    eventually(lambda: not deployments.kind.list(chosen))
    eventually(lambda: not pods(deployments.scene))
