"""What a namespace may have: ResourceQuota, LimitRange."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client

from harness.conformance import conforms
from harness.kind import Kind
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod, refused

PAUSED = {"metadata": {"labels": {"app": "none"}}, "spec": {"containers": [box("sleep 100")]}}


def quotas(scene: Scene) -> Kind:
    return Kind(scene.core, "resource_quota", scene.namespace)


def quota(name: str = "q", labels: Manifest | None = None, **spec: Any) -> Manifest:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def used(scene: Scene, name: str = "q", **counts: str) -> None:
    """Soon `name` shows just this of what it counts; `requests_cpu` is requests.cpu."""
    wanted = {key.replace("__", "/").replace("_", "."): count for key, count in counts.items()}

    def shown() -> bool:
        status = quotas(scene).read(name).status
        return bool(status.used) and wanted.items() <= status.used.items()

    eventually(shown, every_s=0.02)


def sized(
    name: str, requests: Manifest | None = None, limits: Manifest | None = None, **spec: Any
) -> Manifest:
    """A Pod that runs nowhere, so that only its being there counts."""
    resources = {"requests": requests or {}, "limits": limits or {}}
    return pod(name, box("sleep 100", resources=resources), schedulerName="nobody", **spec)


@conforms(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated."
)
def test_a_quota_shows_what_is_there(scene: Scene) -> None:
    scene.config_map("m", a="b")
    quotas(scene).create(quota(hard={"pods": "5", "configmaps": "10", "requests.cpu": "1"}))
    used(scene, pods="0", configmaps="2", requests_cpu="0")
    assert quotas(scene).read("q").status.hard == {"pods": "5", "configmaps": "10", "requests.cpu": "1"}


def claim_free(scene: Scene) -> None:
    scene.core.create_namespaced_service(
        scene.namespace,
        {"metadata": {"name": "x"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}},
    )


LIVES: dict[str, tuple[Manifest, Callable[[Scene], object], Callable[[Scene], object]]] = {
    "secrets": (
        {"secrets": "1"},
        lambda scene: scene.secret("x", a="b"),
        lambda scene: scene.core.delete_namespaced_secret("x", scene.namespace),
    ),
    "configmaps": (
        {"configmaps": "2"},
        lambda scene: scene.config_map("x", a="b"),
        lambda scene: scene.core.delete_namespaced_config_map("x", scene.namespace),
    ),
    "services": (
        {"services": "1", "services.nodeports": "1"},
        claim_free,
        lambda scene: scene.core.delete_namespaced_service("x", scene.namespace),
    ),
    "replicationcontrollers": (
        {"replicationcontrollers": "1"},
        lambda scene: scene.core.create_namespaced_replication_controller(
            scene.namespace, {"metadata": {"name": "x"}, "spec": {"replicas": 0, "template": PAUSED}}
        ),
        lambda scene: scene.core.delete_namespaced_replication_controller("x", scene.namespace),
    ),
    "count/replicasets.apps": (
        {"count/replicasets.apps": "1"},
        lambda scene: client.AppsV1Api(scene.api).create_namespaced_replica_set(
            scene.namespace,
            {
                "metadata": {"name": "x"},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "none"}}, "template": PAUSED},
            },
        ),
        lambda scene: client.AppsV1Api(scene.api).delete_namespaced_replica_set("x", scene.namespace),
    ),
}
"""What is counted -> (what is counted once it is there, how it comes, how it goes)."""


def life(scene: Scene, counted: str) -> None:
    taken, come, go = LIVES[counted]
    quotas(scene).create(quota(hard={**dict.fromkeys(taken, "5"), "resourcequotas": "1"}))

    def shown() -> Any:
        return quotas(scene).read("q").status.used

    eventually(lambda: (shown() or {}).get("resourcequotas") == "1", every_s=0.02)
    before = shown()
    come(scene)
    eventually(lambda: {key: shown()[key] for key in taken} == taken, every_s=0.02)
    go(scene)
    eventually(lambda: shown() == before, every_s=0.02)


@conforms("[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret.")
def test_life_of_a_secret(scene: Scene) -> None:
    life(scene, "secrets")


@conforms(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap."
)
def test_life_of_a_config_map(scene: Scene) -> None:
    life(scene, "configmaps")


@conforms(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service."
)
def test_life_of_a_service(scene: Scene) -> None:
    life(scene, "services")


@conforms(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replication controller."
)
def test_life_of_a_replication_controller(scene: Scene) -> None:
    life(scene, "replicationcontrollers")


@conforms(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replica set."
)
def test_life_of_a_replica_set(scene: Scene) -> None:
    life(scene, "count/replicasets.apps")


@conforms("[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod.")
def test_life_of_a_pod(scene: Scene) -> None:
    device = "example.com/dongle"
    hard = {
        "pods": "5",
        "cpu": "1",
        "memory": "500Mi",
        "requests.ephemeral-storage": "50Gi",
        f"requests.{device}": "3",
    }
    quotas(scene).create(quota(hard=hard))
    used(scene, pods="0")
    asked = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", device: "2"}
    scene.create(sized("first", asked, {device: "2"}))
    shown = {"pods": "1", "cpu": "500m", "memory": "252Mi", f"requests.{device}": "2"}
    eventually(lambda: shown.items() <= quotas(scene).read("q").status.used.items(), every_s=0.02)
    said = refused(403, scene.create, sized("second", {"cpu": "600m", "memory": "100Mi"}))
    assert "exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1" in said
    more = sized("second", {"cpu": "100m", "memory": "10Mi", device: "2"}, {device: "2"})
    assert f"requests.{device}=2" in refused(403, scene.create, more)
    change = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}}
    refused(422, scene.core.patch_namespaced_pod, "first", scene.namespace, change)
    scene.core.delete_namespaced_pod("first", scene.namespace, grace_period_seconds=0)
    used(scene, pods="0", cpu="0", memory="0")


@conforms("[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota.")
def test_a_quota_is_changed_and_deleted(scene: Scene) -> None:
    kind = quotas(scene)
    kind.create(quota(hard={"cpu": "1", "memory": "500Mi"}))
    seen = kind.read("q")
    assert seen.spec.hard == {"cpu": "1", "memory": "500Mi"}
    seen.spec.hard = {"cpu": "2", "memory": "1Gi"}
    seen.metadata.resource_version = None
    changed = scene.core.replace_namespaced_resource_quota("q", scene.namespace, seen)
    assert changed.spec.hard == kind.read("q").spec.hard == {"cpu": "2", "memory": "1Gi"}
    kind.delete("q")
    kind.gone("q")


@conforms("[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota")
def test_quotas_are_found_by_label_and_deleted_together(scene: Scene) -> None:
    kind, labels = quotas(scene), {"of": scene.namespace}
    kind.create(quota(labels=labels, hard={"cpu": "1", "memory": "500Mi"}))
    chosen = f"of={scene.namespace}"
    assert len(scene.core.list_resource_quota_for_all_namespaces(label_selector=chosen).items) == 1
    assert kind.patch("q", {"spec": {"hard": {"memory": "750Mi"}}}).spec.hard == {
        "cpu": "1",
        "memory": "750Mi",
    }
    kind.delete_all(chosen)
    eventually(lambda: not kind.list(chosen))


@conforms("[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status")
def test_the_status_of_a_quota_is_the_controllers(scene: Scene) -> None:
    kind, core, hard = quotas(scene), scene.core, {"cpu": "500m", "memory": "500Mi"}
    kind.create(quota(hard=hard))
    eventually(lambda: kind.read("q").status.hard == hard)

    def changed() -> bool:
        seen = kind.read("q")
        seen.spec.hard, seen.status.hard = {"cpu": "9"}, {"cpu": "1"}
        try:
            answer = core.replace_namespaced_resource_quota_status("q", scene.namespace, seen)
        except client.ApiException as error:
            assert error.status == 409
            return False
        return bool(answer.status.hard == {"cpu": "1"} and answer.spec.hard == hard)

    eventually(changed)
    eventually(lambda: kind.read("q").status.hard == hard)
    wanted = {"cpu": "250m", "memory": "500Mi"}
    kind.patch("q", {"spec": {"hard": {"cpu": "250m"}}})
    wrong = {"status": {"hard": {"cpu": "7"}}}
    core.patch_namespaced_resource_quota_status("q", scene.namespace, wrong)
    eventually(lambda: core.read_namespaced_resource_quota_status("q", scene.namespace).status.hard == wanted)
    assert kind.read("q").spec.hard == wanted


@conforms("[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope.")
def test_quotas_of_best_effort(scene: Scene) -> None:
    for name, scope in (("best", "BestEffort"), ("rest", "NotBestEffort")):
        quotas(scene).create(quota(name, hard={"pods": "5"}, scopes=[scope]))
        used(scene, name, pods="0")
    scene.create(sized("none"))
    used(scene, "best", pods="1")
    used(scene, "rest", pods="0")
    scene.core.delete_namespaced_pod("none", scene.namespace, grace_period_seconds=0)
    used(scene, "best", pods="0")
    both = {"cpu": "100m", "memory": "10Mi"}
    scene.create(sized("some", both, both))
    used(scene, "rest", pods="1")
    used(scene, "best", pods="0")
    scene.core.delete_namespaced_pod("some", scene.namespace, grace_period_seconds=0)
    used(scene, "rest", pods="0")


@conforms("[sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes.")
def test_quotas_of_pods_that_end(scene: Scene) -> None:
    hard = {"pods": "5", "requests.cpu": "1", "limits.cpu": "2"}
    for name, scope in (("ends", "Terminating"), ("stays", "NotTerminating")):
        quotas(scene).create(quota(name, hard=hard, scopes=[scope]))
        used(scene, name, pods="0")
    scene.create(sized("long", {"cpu": "500m"}, {"cpu": "1"}))
    used(scene, "stays", pods="1", requests_cpu="500m", limits_cpu="1")
    used(scene, "ends", pods="0")
    scene.core.delete_namespaced_pod("long", scene.namespace, grace_period_seconds=0)
    used(scene, "stays", pods="0")
    scene.create(sized("short", {"cpu": "500m"}, {"cpu": "1"}, activeDeadlineSeconds=3600))
    used(scene, "ends", pods="1", requests_cpu="500m", limits_cpu="1")
    used(scene, "stays", pods="0")
    scene.core.delete_namespaced_pod("short", scene.namespace, grace_period_seconds=0)
    used(scene, "ends", pods="0")


# -- LimitRange ----------------------------------------------------------------------------------------------


def ranges(scene: Scene) -> Kind:
    return Kind(scene.core, "limit_range", scene.namespace)


LIMITS: Manifest = {
    "type": "Container",
    "min": {"cpu": "50m", "memory": "100Mi"},
    "max": {"cpu": "500m", "memory": "500Mi"},
    "default": {"cpu": "500m", "memory": "500Mi"},
    "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
}


def given(made: client.V1Pod) -> tuple[Any, Any]:
    resources = made.spec.containers[0].resources
    return resources.requests, resources.limits


@conforms(
    "[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied."
)
def test_limit_ranges_fill_in_and_bound(scene: Scene) -> None:
    kind = ranges(scene)
    kind.create({"metadata": {"name": "l"}, "spec": {"limits": [LIMITS]}})
    assert given(scene.create(sized("none"))) == (LIMITS["defaultRequest"], LIMITS["default"])
    some = scene.create(sized("some", {"cpu": "150m"}, {"memory": "300Mi"}))
    assert given(some) == ({"cpu": "150m", "memory": "300Mi"}, {"cpu": "500m", "memory": "300Mi"})
    small, large = {"cpu": "10m", "memory": "50Mi"}, {"cpu": "600m", "memory": "600Mi"}
    assert "minimum cpu usage per Container is 50m, but request is 10m" in refused(
        403, scene.create, sized("s", small)
    )
    assert "maximum memory usage per Container is 500Mi" in refused(
        403, scene.create, sized("b", large, large)
    )
    lower = {**LIMITS, "min": {"cpu": "9m", "memory": "49Mi"}}
    assert kind.patch("l", {"spec": {"limits": [lower]}}).spec.limits[0].min == lower["min"]
    scene.create(sized("s", small))
    kind.delete("l")
    kind.gone("l")
    scene.create(sized("b", large, large))


@conforms("[sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection")
def test_limit_ranges_are_found_by_label_and_deleted_together(scene: Scene) -> None:
    other = f"{scene.namespace}-other"
    scene.core.create_namespace({"metadata": {"name": other}})
    labels = {"of": scene.namespace}
    for namespace in (scene.namespace, other):
        body = {"metadata": {"name": "l", "labels": labels}, "spec": {"limits": [LIMITS]}}
        scene.core.create_namespaced_limit_range(namespace, body)
    chosen = f"of={scene.namespace}"

    def everywhere() -> list[Any]:
        return list(scene.core.list_limit_range_for_all_namespaces(label_selector=chosen).items)

    assert len(everywhere()) == 2
    changed = {**LIMITS, "max": {"cpu": "550m", "memory": "500Mi"}}
    patch = {"metadata": {"labels": {"patched": "yes"}}, "spec": {"limits": [changed]}}
    seen = ranges(scene).patch("l", patch)
    assert (seen.metadata.labels["patched"], seen.spec.limits[0].max["cpu"]) == ("yes", "550m")
    ranges(scene).delete_all("patched=yes")
    eventually(lambda: len(everywhere()) == 1)
    scene.core.delete_namespace(other)
