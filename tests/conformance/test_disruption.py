"""Disruption budgets and what they let go."""

from __future__ import annotations

from typing import Any

from kubernetes import client

from harness.conformance import conforms
from harness.kind import Kind
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod, refused

LABELS = {"app": "kept"}


def policy(scene: Scene) -> client.PolicyV1Api:
    return client.PolicyV1Api(scene.api)


def budgets(scene: Scene) -> Kind:
    return Kind(policy(scene), "pod_disruption_budget", scene.namespace)


def budget(name: str = "b", labels: Manifest | None = None, **spec: Any) -> Manifest:
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"selector": {"matchLabels": LABELS}, **spec},
    }


def processed(scene: Scene, name: str = "b") -> Any:
    """The budget once its controller has counted what it now says."""

    def seen() -> Any:
        found = budgets(scene).read(name)
        counted = found.status is not None and found.status.observed_generation
        return found if counted == found.metadata.generation else None

    return eventually(seen, every_s=0.02)


def kept(scene: Scene, *names: str) -> None:
    for name in names:
        scene.ready(pod(name, box("sleep 1000"), labels=LABELS, restartPolicy="Always"))


def evict(scene: Scene, name: str) -> object:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return scene.core.create_namespaced_pod_eviction(name, scene.namespace, body)


@conforms("[sig-apps] DisruptionController should create a PodDisruptionBudget")
def test_a_budget_is_created_changed_and_deleted(scene: Scene) -> None:
    kind = budgets(scene)
    kind.create(budget(minAvailable="50%"))
    seen = processed(scene)
    assert seen.spec.min_available == "50%"
    seen.spec.min_available = 2
    changed = policy(scene).replace_namespaced_pod_disruption_budget("b", scene.namespace, seen)
    assert changed.spec.min_available == 2 and changed.metadata.generation == 2
    patched = kind.patch("b", {"spec": {"minAvailable": "3%"}})
    assert patched.spec.min_available == kind.read("b").spec.min_available == "3%"
    kind.delete("b")
    kind.gone("b")


@conforms(
    "[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection of PodDisruptionBudgets"
)
def test_budgets_are_listed_everywhere_and_deleted_together(scene: Scene) -> None:
    other, labels = f"{scene.namespace}-other", {"of": scene.namespace}
    scene.core.create_namespace({"metadata": {"name": other}})
    budgets(scene).create(budget("a", labels, minAvailable=2))
    budgets(scene).create(budget("b", labels, minAvailable="10%"))
    policy(scene).create_namespaced_pod_disruption_budget(other, budget("c", labels, minAvailable=2))
    chosen = f"of={scene.namespace}"

    def everywhere() -> list[Any]:
        listed = policy(scene).list_pod_disruption_budget_for_all_namespaces(label_selector=chosen)
        return list(listed.items)

    assert len(everywhere()) == 3
    budgets(scene).delete_all(chosen)
    eventually(lambda: [each.metadata.name for each in everywhere()] == ["c"])
    scene.core.delete_namespace(other)


@conforms("[sig-apps] DisruptionController should observe PodDisruptionBudget status updated")
def test_the_controller_counts(scene: Scene) -> None:
    budgets(scene).create(budget(minAvailable=1))
    kept(scene, "a", "b", "c")
    eventually(lambda: budgets(scene).read("b").status.disruptions_allowed == 2, every_s=0.02)
    status = budgets(scene).read("b").status
    assert (status.current_healthy, status.desired_healthy, status.expected_pods) == (3, 1, 3)


@conforms("[sig-apps] DisruptionController should update/patch PodDisruptionBudget status")
def test_the_status_is_written_by_its_own_door(scene: Scene) -> None:
    budgets(scene).create(budget(minAvailable=1))
    kept(scene, "a")
    eventually(lambda: budgets(scene).read("b").status.current_healthy == 1, every_s=0.02)
    seen = processed(scene)
    now = seen.metadata.creation_timestamp
    seen.status.disrupted_pods = {"a": now}
    api, namespace = policy(scene), scene.namespace
    written = api.replace_namespaced_pod_disruption_budget_status("b", namespace, seen)
    assert list(written.status.disrupted_pods) == ["a"]
    change = {"status": {"disruptedPods": None}}
    patched = api.patch_namespaced_pod_disruption_budget_status("b", namespace, change)
    assert not patched.status.disrupted_pods and patched.spec.min_available == 1


@conforms("[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it")
def test_an_eviction_waits_for_its_budget(scene: Scene) -> None:
    kept(scene, "a", "b", "c")
    budgets(scene).create(budget(minAvailable=3))
    processed(scene)
    said = refused(429, evict, scene, "a")
    assert "Cannot evict pod as it would violate the pod's disruption budget." in said
    assert "The disruption budget b needs 3 healthy pods and has 3 currently" in said
    budgets(scene).patch("b", {"spec": {"minAvailable": 2}})
    processed(scene)
    evict(scene, "a")
    scene.gone("a")
    refused(429, evict, scene, "b")
    scene.get("b")
