"""Files that the API keeps in volumes: configMap, secret, downwardAPI and projected."""

from __future__ import annotations

from typing import Any

import pytest

from harness.conformance import conforms
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod, refused

READ = "stat -Lc %A /v/{path}; cat /v/{path}"
USER = {"runAsUser": 1000}
USER_IN_GROUP = {"runAsUser": 1000, "fsGroup": 1001}


def source(kind: str, of: str = "made", **more: Any) -> Manifest:
    """A volume that shows the ConfigMap or the Secret of that name, plain or projected."""
    name = {"secretName": of} if kind == "secret" else {"name": of}
    mode = {"defaultMode": more.pop("defaultMode")} if "defaultMode" in more else {}
    if kind.startswith("projected-"):
        inner = kind.removeprefix("projected-")
        return {"name": "v", "projected": {"sources": [{inner: {"name": of, **more}}], **mode}}
    return {"name": "v", kind: {**name, **mode, **more}}


def make(scene: Scene, kind: str) -> None:
    """`made`, with key `data-1` that holds `value-1`."""
    (scene.secret if "secret" in kind else scene.config_map)("made", **{"data-1": "value-1"})


def reader(command: str, *volumes: Manifest, context: Manifest | None = None, **container: Any) -> Manifest:
    """A Pod that has the volumes below their names, runs the command and ends."""
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    settings = {"securityContext": context} if context else {}
    return pod("p", box(command, volumeMounts=mounts, **container), volumes=list(volumes), **settings)


MAPPED: Manifest = {"items": [{"key": "data-1", "path": "path/to/data-2"}]}
MAPPED_MODE: Manifest = {"items": [{"key": "data-1", "path": "path/to/data-2", "mode": 0o400}]}


@pytest.mark.parametrize(
    ("kind", "fields", "context", "mode"),
    [
        pytest.param(
            "configMap",
            {},
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] ConfigMap should be consumable from pods in volume [NodeConformance]"
            ),
        ),
        pytest.param(
            "configMap",
            {},
            USER,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] ConfigMap should be consumable from pods in volume as non-root [NodeConformance]"
            ),
        ),
        pytest.param(
            "configMap",
            {"defaultMode": 0o400},
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] ConfigMap should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "configMap",
            MAPPED,
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] ConfigMap should be consumable from pods in volume with mappings [NodeConformance]"
            ),
        ),
        pytest.param(
            "configMap",
            MAPPED_MODE,
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] ConfigMap should be consumable from pods in volume with mappings and Item mode set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "configMap",
            MAPPED,
            USER,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] ConfigMap should be consumable from pods in volume with mappings as non-root [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            {},
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Projected configMap should be consumable from pods in volume [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            {},
            USER,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Projected configMap should be consumable from pods in volume as non-root [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            {"defaultMode": 0o400},
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] Projected configMap should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            MAPPED,
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Projected configMap should be consumable from pods in volume with mappings [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            MAPPED_MODE,
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] Projected configMap should be consumable from pods in volume with mappings and Item mode set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            MAPPED,
            USER,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Projected configMap should be consumable from pods in volume with mappings as non-root [NodeConformance]"
            ),
        ),
        pytest.param(
            "secret",
            {},
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Secrets should be consumable from pods in volume [NodeConformance]"
            ),
        ),
        pytest.param(
            "secret",
            {"defaultMode": 0o440},
            USER_IN_GROUP,
            "-r--r-----",
            marks=conforms(
                "[sig-storage] Secrets should be consumable from pods in volume as non-root with defaultMode and fsGroup set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "secret",
            {"defaultMode": 0o400},
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] Secrets should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "secret",
            MAPPED,
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Secrets should be consumable from pods in volume with mappings [NodeConformance]"
            ),
        ),
        pytest.param(
            "secret",
            MAPPED_MODE,
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] Secrets should be consumable from pods in volume with mappings and Item Mode set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-secret",
            {},
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Projected secret should be consumable from pods in volume [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-secret",
            {"defaultMode": 0o440},
            USER_IN_GROUP,
            "-r--r-----",
            marks=conforms(
                "[sig-storage] Projected secret should be consumable from pods in volume as non-root with defaultMode and fsGroup set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-secret",
            {"defaultMode": 0o400},
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] Projected secret should be consumable from pods in volume with defaultMode set [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-secret",
            MAPPED,
            None,
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Projected secret should be consumable from pods in volume with mappings [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-secret",
            MAPPED_MODE,
            None,
            "-r--------",
            marks=conforms(
                "[sig-storage] Projected secret should be consumable from pods in volume with mappings and Item Mode set [LinuxOnly] [NodeConformance]"
            ),
        ),
    ],
)
def test_content_and_mode(
    scene: Scene, kind: str, fields: Manifest, context: Manifest | None, mode: str
) -> None:
    make(scene, kind)
    path = "path/to/data-2" if "items" in fields else "data-1"
    log = scene.finished(reader(READ.format(path=path), source(kind, **fields), context=context))
    assert log == f"{mode}\nvalue-1"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "configMap",
            marks=conforms(
                "[sig-storage] ConfigMap should be consumable in multiple volumes in the same pod [NodeConformance]"
            ),
        ),
        pytest.param(
            "secret",
            marks=conforms(
                "[sig-storage] Secrets should be consumable in multiple volumes in a pod [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            marks=conforms(
                "[sig-storage] Projected configMap should be consumable in multiple volumes in the same pod [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-secret",
            marks=conforms(
                "[sig-storage] Projected secret should be consumable in multiple volumes in a pod [NodeConformance]"
            ),
        ),
    ],
)
def test_one_source_in_two_volumes(scene: Scene, kind: str) -> None:
    make(scene, kind)
    volumes = [{**source(kind), "name": name} for name in ("one", "two")]
    assert scene.finished(reader("cat /one/data-1 /two/data-1", *volumes)) == "value-1value-1"


@conforms("[sig-storage] ConfigMap binary data should be reflected in volume [NodeConformance]")
def test_bytes_that_are_no_text(scene: Scene) -> None:
    body = {"metadata": {"name": "made"}, "data": {"text": "value-1"}, "binaryData": {"dump": "3q2+7wA="}}
    scene.core.create_namespaced_config_map(scene.namespace, body)
    log = scene.finished(reader("cat /v/text; hexdump -ve '1/1 \"%02x\"' /v/dump", source("configMap")))
    assert log == "value-1deadbeef00"


@conforms(
    "[sig-storage] Secrets should be able to mount in a volume regardless of a different secret existing with same name in different namespace [NodeConformance]"
)
def test_a_secret_is_its_namespaces(scene: Scene) -> None:
    other = f"{scene.namespace}-other"
    scene.core.create_namespace({"metadata": {"name": other}})
    body = {"metadata": {"name": "made"}, "stringData": {"data-1": "theirs"}}
    scene.core.create_namespaced_secret(other, body)
    make(scene, "secret")
    log = scene.finished(reader(READ.format(path="data-1"), source("secret")))
    scene.core.delete_namespace(other)
    assert log == "-rw-r--r--\nvalue-1"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "configMap",
            marks=conforms("[sig-storage] ConfigMap updates should be reflected in volume [NodeConformance]"),
        ),
        pytest.param(
            "projected-configMap",
            marks=conforms(
                "[sig-storage] Projected configMap updates should be reflected in volume [NodeConformance]"
            ),
        ),
    ],
)
def test_a_change_shows_in_the_running_container(scene: Scene, kind: str) -> None:
    make(scene, kind)
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    scene.ready(pod("p", box("sleep 60", **mount), volumes=[source(kind)]))
    assert scene.sh("p", "cat /v/data-1") == "value-1"
    scene.core.patch_namespaced_config_map("made", scene.namespace, {"data": {"data-1": "value-2"}})
    eventually(lambda: scene.sh("p", "cat /v/data-1") == "value-2")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "configMap",
            marks=conforms(
                "[sig-storage] ConfigMap optional updates should be reflected in volume [NodeConformance]"
            ),
        ),
        pytest.param(
            "secret",
            marks=conforms(
                "[sig-storage] Secrets optional updates should be reflected in volume [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-configMap",
            marks=conforms(
                "[sig-storage] Projected configMap optional updates should be reflected in volume [NodeConformance]"
            ),
        ),
        pytest.param(
            "projected-secret",
            marks=conforms(
                "[sig-storage] Projected secret optional updates should be reflected in volume [NodeConformance]"
            ),
        ),
    ],
)
def test_sources_that_come_change_and_go(scene: Scene, kind: str) -> None:
    secret = "secret" in kind
    put = scene.secret if secret else scene.config_map
    core, namespace = scene.core, scene.namespace
    patch = core.patch_namespaced_secret if secret else core.patch_namespaced_config_map
    delete = core.delete_namespaced_secret if secret else core.delete_namespaced_config_map
    names = ("created", "updated", "deleted")
    volumes = [{**source(kind, name, optional=True), "name": name} for name in names]
    put("updated", **{"data-1": "value-1"})
    put("deleted", **{"data-1": "value-1"})
    boxes = [box("sleep 60", name=name, volumeMounts=[{"name": name, "mountPath": "/v"}]) for name in names]
    scene.ready(pod("p", *boxes, volumes=volumes))
    assert scene.sh("p", "cat /v/data-1", "deleted") == "value-1"
    assert "No such file" in scene.sh("p", "cat /v/data-1", "created")
    put("created", **{"data-1": "value-1"})
    patch("updated", namespace, {"stringData" if secret else "data": {"data-1": "value-2"}})
    delete("deleted", namespace)
    eventually(lambda: scene.sh("p", "cat /v/data-1", "created") == "value-1")
    eventually(lambda: scene.sh("p", "cat /v/data-1", "updated") == "value-2")
    eventually(lambda: "No such file" in scene.sh("p", "cat /v/data-1", "deleted"))
    assert all(status.restart_count == 0 for status in scene.get("p").status.container_statuses)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "configMap",
            marks=conforms("[sig-storage] ConfigMap should be immutable if `immutable` field is set"),
        ),
        pytest.param(
            "secret", marks=conforms("[sig-storage] Secrets should be immutable if `immutable` field is set")
        ),
    ],
)
def test_immutable(scene: Scene, kind: str) -> None:
    make(scene, kind)
    core, namespace = scene.core, scene.namespace
    patch = core.patch_namespaced_secret if kind == "secret" else core.patch_namespaced_config_map
    delete = core.delete_namespaced_secret if kind == "secret" else core.delete_namespaced_config_map
    field = "stringData" if kind == "secret" else "data"
    patch("made", namespace, {field: {"data-1": "value-2"}})
    patch("made", namespace, {"immutable": True})
    refused(422, patch, "made", namespace, {field: {"data-1": "value-3"}})
    refused(422, patch, "made", namespace, {"immutable": False})
    refused(422, patch, "made", namespace, {"immutable": None})
    assert patch("made", namespace, {"metadata": {"labels": {"a": "b"}}}).metadata.labels == {"a": "b"}
    delete("made", namespace)


# -- the Pod's own facts

RESOURCES = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
NAME_ITEM = {"path": "f", "fieldRef": {"fieldPath": "metadata.name"}}


def downward(projected: bool, *items: Manifest, **more: Any) -> Manifest:
    if projected:
        return {"name": "v", "projected": {"sources": [{"downwardAPI": {"items": list(items)}}], **more}}
    return {"name": "v", "downwardAPI": {"items": list(items), **more}}


def amount(resource: str) -> Manifest:
    return {"path": "f", "resourceFieldRef": {"containerName": "c", "resource": resource}}


@pytest.mark.parametrize(
    ("projected", "resource", "printed"),
    [
        pytest.param(
            False,
            "limits.cpu",
            "2",
            marks=conforms(
                "[sig-storage] Downward API volume should provide container's cpu limit [NodeConformance]"
            ),
        ),
        pytest.param(
            False,
            "requests.cpu",
            "1",
            marks=conforms(
                "[sig-storage] Downward API volume should provide container's cpu request [NodeConformance]"
            ),
        ),
        pytest.param(
            False,
            "limits.memory",
            "67108864",
            marks=conforms(
                "[sig-storage] Downward API volume should provide container's memory limit [NodeConformance]"
            ),
        ),
        pytest.param(
            False,
            "requests.memory",
            "33554432",
            marks=conforms(
                "[sig-storage] Downward API volume should provide container's memory request [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "limits.cpu",
            "2",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should provide container's cpu limit [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "requests.cpu",
            "1",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should provide container's cpu request [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "limits.memory",
            "67108864",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should provide container's memory limit [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "requests.memory",
            "33554432",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should provide container's memory request [NodeConformance]"
            ),
        ),
    ],
)
def test_resources_of_the_container(scene: Scene, projected: bool, resource: str, printed: str) -> None:
    volume = downward(projected, amount(resource))
    assert scene.finished(reader("cat /v/f", volume, resources=RESOURCES)) == printed


@pytest.mark.parametrize(
    ("projected", "resource"),
    [
        pytest.param(
            False,
            "cpu",
            marks=conforms(
                "[sig-storage] Downward API volume should provide node allocatable (cpu) as default cpu limit if the limit is not set [NodeConformance]"
            ),
        ),
        pytest.param(
            False,
            "memory",
            marks=conforms(
                "[sig-storage] Downward API volume should provide node allocatable (memory) as default memory limit if the limit is not set [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "cpu",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should provide node allocatable (cpu) as default cpu limit if the limit is not set [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "memory",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should provide node allocatable (memory) as default memory limit if the limit is not set [NodeConformance]"
            ),
        ),
    ],
)
def test_limits_that_are_not_set_are_the_nodes(scene: Scene, projected: bool, resource: str) -> None:
    assert int(scene.finished(reader("cat /v/f", downward(projected, amount(f"limits.{resource}"))))) >= 1


@pytest.mark.parametrize(
    ("projected", "item", "more", "mode"),
    [
        pytest.param(
            False,
            {},
            {},
            "-rw-r--r--",
            marks=conforms("[sig-storage] Downward API volume should provide podname only [NodeConformance]"),
        ),
        pytest.param(
            False,
            {},
            {"defaultMode": 0o400},
            "-r--------",
            marks=conforms(
                "[sig-storage] Downward API volume should set DefaultMode on files [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            False,
            {"mode": 0o400},
            {},
            "-r--------",
            marks=conforms(
                "[sig-storage] Downward API volume should set mode on item file [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            {},
            {},
            "-rw-r--r--",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should provide podname only [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            {},
            {"defaultMode": 0o400},
            "-r--------",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should set DefaultMode on files [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            {"mode": 0o400},
            {},
            "-r--------",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should set mode on item file [LinuxOnly] [NodeConformance]"
            ),
        ),
    ],
)
def test_name_of_the_pod(scene: Scene, projected: bool, item: Manifest, more: Manifest, mode: str) -> None:
    volume = downward(projected, {**NAME_ITEM, **item}, **more)
    assert scene.finished(reader(READ.format(path="f"), volume)) == f"{mode}\np"


@pytest.mark.parametrize(
    ("projected", "field"),
    [
        pytest.param(
            False,
            "labels",
            marks=conforms(
                "[sig-storage] Downward API volume should update labels on modification [NodeConformance]"
            ),
        ),
        pytest.param(
            False,
            "annotations",
            marks=conforms(
                "[sig-storage] Downward API volume should update annotations on modification [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "labels",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should update labels on modification [NodeConformance]"
            ),
        ),
        pytest.param(
            True,
            "annotations",
            marks=conforms(
                "[sig-storage] Projected downwardAPI should update annotations on modification [NodeConformance]"
            ),
        ),
    ],
)
def test_changes_of_the_pod_show(scene: Scene, projected: bool, field: str) -> None:
    item = {"path": "f", "fieldRef": {"fieldPath": f"metadata.{field}"}}
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    manifest = pod("p", box("sleep 60", **mount), volumes=[downward(projected, item)])
    manifest["metadata"][field] = {"builder": "bar"}
    scene.ready(manifest)
    assert 'builder="bar"\n' in scene.sh("p", "cat /v/f; echo")
    change = {"metadata": {field: {"builder": "foo", "key3": "value3"}}}
    scene.core.patch_namespaced_pod("p", scene.namespace, change)
    eventually(lambda: 'builder="foo"\nkey3="value3"' in scene.sh("p", "cat /v/f"))


@conforms(
    "[sig-storage] Projected combined should project all components that make up the projection API [Projection] [NodeConformance]"
)
def test_all_sources_in_one_volume(scene: Scene) -> None:
    scene.config_map("settings", **{"configmap-data": "configmap-value-1"})
    scene.secret("s", **{"secret-data": "secret-value-1"})
    names = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
    items = [{**amount(name), "path": name} for name in names]
    sources: list[Manifest] = [
        {"downwardAPI": {"items": [{**NAME_ITEM, "path": "podname"}, *items]}},
        {"secret": {"name": "s", "items": [{"key": "secret-data", "path": "secret-data"}]}},
        {"configMap": {"name": "settings"}},
    ]
    files = " ".join(f"/v/{name}" for name in ("podname", *names, "secret-data", "configmap-data"))
    command = f"for f in {files}; do cat $f; echo; done"
    volume = {"name": "v", "projected": {"sources": sources}}
    log = scene.finished(reader(command, volume, resources=RESOURCES))
    assert log.split() == ["p", "2", "67108864", "1", "33554432", "secret-value-1", "configmap-value-1"]
