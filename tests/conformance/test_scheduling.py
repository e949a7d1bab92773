"""Where Pods may run."""

from __future__ import annotations

from kubernetes import client

from harness.conformance import conforms
from harness.kind import Kind
from harness.scene import Manifest, Scene, box, condition, pod, refused


def node_name(scene: Scene) -> str:
    return str(scene.core.list_node().items[0].metadata.name)


def unscheduled(seen: client.V1Pod) -> bool:
    found = condition(seen, "PodScheduled")
    return bool(found and (found.status, found.reason) == ("False", "Unschedulable"))


@conforms(
    "[sig-scheduling] SchedulerPredicates [Serial] validates resource limits of pods that are allowed to run"
)
def test_no_pod_beyond_what_the_node_has(scene: Scene) -> None:
    allocatable = scene.core.list_node().items[0].status.allocatable["cpu"]
    milli = int(allocatable[:-1]) if allocatable.endswith("m") else int(allocatable) * 1000
    running = scene.core.list_pod_for_all_namespaces().items
    assert all(each.metadata.namespace != scene.namespace for each in running)
    scene.ready(pod("filler", box("sleep 60", resources={"requests": {"cpu": f"{milli * 7 // 10}m"}})))
    scene.create(pod("extra", box("sleep 60", resources={"requests": {"cpu": f"{milli // 2}m"}})))
    assert "Insufficient cpu" in condition(scene.until("extra", unscheduled), "PodScheduled").message


@conforms(
    "[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if matching"
)
def test_a_selector_that_matches(scene: Scene) -> None:
    name = node_name(scene)
    scene.core.patch_node(name, {"metadata": {"labels": {"conformance": scene.namespace}}})
    scene.ready(pod("p", box("sleep 60"), nodeSelector={"conformance": scene.namespace}))
    assert scene.get("p").spec.node_name == name
    scene.core.patch_node(name, {"metadata": {"labels": {"conformance": None}}})


@conforms(
    "[sig-scheduling] SchedulerPredicates [Serial] validates that NodeSelector is respected if not matching"
)
def test_a_selector_that_matches_nothing(scene: Scene) -> None:
    scene.create(pod("p", box("sleep 60"), nodeSelector={"conformance": "nobody"}))
    scene.until("p", unscheduled)
    assert scene.get("p").spec.node_name is None


@conforms(
    "[sig-scheduling] SchedulerPredicates [Serial] validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP"
)
def test_a_host_port_on_all_addresses(scene: Scene) -> None:
    def asking(name: str, address: str) -> Manifest:
        ports = [{"containerPort": 80, "hostPort": 54324, "hostIP": address}]
        return pod(name, box("sleep 60", ports=ports))

    scene.ready(asking("everywhere", "0.0.0.0"))
    scene.create(asking("somewhere", scene.get("everywhere").status.host_ip))
    assert "free ports" in condition(scene.until("somewhere", unscheduled), "PodScheduled").message


@conforms(
    "[sig-scheduling] SchedulerPreemption [Serial] PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods"
)
def test_life_of_a_priority_class(scene: Scene) -> None:
    api = client.SchedulingV1Api(scene.api)
    classes, name = Kind(api, "priority_class"), f"{scene.namespace}-p1"
    classes.create({"metadata": {"name": name}, "value": 1})
    assert name in [each.metadata.name for each in classes.list()]
    assert classes.patch(name, {"description": "updated"}).description == "updated"
    refused(422, classes.patch, name, {"value": 2})
    seen = classes.read(name)
    seen.description = "again"
    assert api.replace_priority_class(name, seen).description == "again"
    seen = classes.read(name)
    seen.value = 3
    refused(422, api.replace_priority_class, name, seen)
    classes.delete(name)
