"""Directories that containers share, and paths below a volume's root."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from harness.conformance import conforms
from harness.node import eventually
from harness.scene import Manifest, Scene, box, condition, is_ready, pod

V = [{"name": "v", "mountPath": "/test-volume"}]
NEW_FILE = (
    "umask 0; echo -n hello > /test-volume/test-file; chmod {mode} /test-volume/test-file;"
    " stat -c %A /test-volume/test-file; cat /test-volume/test-file; echo;"
    " grep -c '^tmpfs /test-volume ' /proc/mounts; true"
)


def empty_dir(medium: str = "") -> Manifest:
    return {"name": "v", "emptyDir": {"medium": medium} if medium else {}}


@pytest.mark.parametrize(
    ("uid", "mode", "shown", "medium"),
    [
        pytest.param(
            0,
            "0644",
            "-rw-r--r--",
            "",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (root,0644,default) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            0,
            "0666",
            "-rw-rw-rw-",
            "",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (root,0666,default) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            0,
            "0777",
            "-rwxrwxrwx",
            "",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (root,0777,default) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            1001,
            "0644",
            "-rw-r--r--",
            "",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (non-root,0644,default) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            1001,
            "0666",
            "-rw-rw-rw-",
            "",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (non-root,0666,default) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            1001,
            "0777",
            "-rwxrwxrwx",
            "",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (non-root,0777,default) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            0,
            "0644",
            "-rw-r--r--",
            "Memory",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (root,0644,tmpfs) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            0,
            "0666",
            "-rw-rw-rw-",
            "Memory",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (root,0666,tmpfs) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            0,
            "0777",
            "-rwxrwxrwx",
            "Memory",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (root,0777,tmpfs) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            1001,
            "0644",
            "-rw-r--r--",
            "Memory",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (non-root,0644,tmpfs) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            1001,
            "0666",
            "-rw-rw-rw-",
            "Memory",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (non-root,0666,tmpfs) [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            1001,
            "0777",
            "-rwxrwxrwx",
            "Memory",
            marks=conforms(
                "[sig-storage] EmptyDir volumes should support (non-root,0777,tmpfs) [LinuxOnly] [NodeConformance]"
            ),
        ),
    ],
)
def test_a_new_file_in_an_empty_dir(scene: Scene, uid: int, mode: str, shown: str, medium: str) -> None:
    container = box(NEW_FILE.format(mode=mode), volumeMounts=V, securityContext={"runAsUser": uid})
    log = scene.finished(pod("p", container, volumes=[empty_dir(medium)]))
    assert log.split() == [shown, "hello", "1" if medium else "0"]


@pytest.mark.parametrize(
    "medium",
    [
        pytest.param(
            "",
            marks=conforms(
                "[sig-storage] EmptyDir volumes volume on default medium should have the correct mode [LinuxOnly] [NodeConformance]"
            ),
        ),
        pytest.param(
            "Memory",
            marks=conforms(
                "[sig-storage] EmptyDir volumes volume on tmpfs should have the correct mode [LinuxOnly] [NodeConformance]"
            ),
        ),
    ],
)
def test_mode_of_an_empty_dir(scene: Scene, medium: str) -> None:
    command = "stat -c %A /test-volume; grep -c '^tmpfs /test-volume ' /proc/mounts; true"
    log = scene.finished(pod("p", box(command, volumeMounts=V), volumes=[empty_dir(medium)]))
    assert log.split() == ["drwxrwxrwx", "1" if medium else "0"]


@conforms("[sig-storage] EmptyDir volumes pod should support shared volumes between containers")
def test_containers_share_a_volume(scene: Scene) -> None:
    text = "Hello from the busy-box sub-container"
    main = box("sleep 60", name="main", volumeMounts=[{"name": "v", "mountPath": "/usr/share/volumeshare"}])
    sub = box(
        f"echo {text} > /pod-data/shareddata.txt",
        name="sub",
        volumeMounts=[{"name": "v", "mountPath": "/pod-data"}],
    )
    scene.create(pod("p", main, sub, volumes=[empty_dir()]))
    scene.until(
        "p",
        lambda seen: (
            all(not s.state.waiting for s in seen.status.container_statuses or [])
            and any(s.state.terminated for s in seen.status.container_statuses or [])
        ),
    )
    assert scene.sh("p", "cat /usr/share/volumeshare/shareddata.txt", "main").strip() == text


@conforms("[sig-storage] EmptyDir wrapper volumes should not conflict")
def test_a_secret_and_a_config_map_of_one_name(scene: Scene) -> None:
    scene.secret("same", **{"data-1": "value-1"})
    body = {"metadata": {"name": "same"}, "binaryData": {"data-1": "dmFsdWUtMQ=="}}
    scene.core.create_namespaced_config_map(scene.namespace, body)
    volumes = [{"name": "s", "secret": {"secretName": "same"}}, {"name": "m", "configMap": {"name": "same"}}]
    mounts = [
        {"name": "s", "mountPath": "/etc/secret-volume", "readOnly": True},
        {"name": "m", "mountPath": "/etc/configmap-volume"},
    ]
    scene.ready(pod("p", box("sleep 60", volumeMounts=mounts), volumes=volumes))
    scene.core.delete_namespaced_secret("same", scene.namespace)
    scene.core.delete_namespaced_config_map("same", scene.namespace)
    scene.core.delete_namespaced_pod("p", scene.namespace)
    scene.gone("p")


@conforms(
    "[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps [Serial]"
)
def test_fifty_config_maps_in_each_of_five_pods_of_a_controller(scene: Scene) -> None:
    volumes, mounts = fifty_volumes(scene)
    labels = {"of": "racers"}
    template = pod(
        "p", box("sleep 60", volumeMounts=mounts), labels=labels, volumes=volumes, restartPolicy="Always"
    )
    body = {"metadata": {"name": "racers"}, "spec": {"replicas": 5, "selector": labels, "template": template}}
    scene.core.create_namespaced_replication_controller(scene.namespace, body)

    def look() -> bool:
        found = scene.core.list_namespaced_pod(scene.namespace, label_selector="of=racers").items
        return len(found) == 5 and all(map(is_ready, found))

    eventually(look)


def fifty_volumes(scene: Scene) -> tuple[list[Manifest], list[Manifest]]:
    names = [f"config-{number}" for number in range(50)]
    for name in names:
        scene.config_map(name, **{"data-1": "value-1"})
    items = [{"key": "data-1", "path": "data-1"}]
    volumes: list[Manifest] = [{"name": name, "configMap": {"name": name, "items": items}} for name in names]
    return volumes, [{"name": name, "mountPath": f"/etc/{name}"} for name in names]


# -- subPath

SUBPATH_SOURCES: dict[str, Manifest] = {
    "configmap": {"configMap": {"name": "my-configmap"}},
    "secret": {"secret": {"secretName": "my-secret"}},
    "downward": {
        "downwardAPI": {"items": [{"path": "downward/podname", "fieldRef": {"fieldPath": "metadata.name"}}]}
    },
    "projected": {
        "projected": {
            "sources": [
                {
                    "configMap": {
                        "name": "my-configmap",
                        "items": [{"key": "configmap-key", "path": "projected/configmap-key"}],
                    }
                }
            ]
        }
    },
}


@pytest.mark.parametrize(
    ("kind", "path", "target", "content"),
    [
        pytest.param(
            "configmap",
            "configmap-key",
            "/probe",
            "configmap-value",
            marks=conforms(
                "[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod"
            ),
        ),
        pytest.param(
            "configmap",
            "configmap-key",
            "/etc/resolv.conf",
            "configmap-value",
            marks=conforms(
                "[sig-storage] Subpath Atomic writer volumes should support subpaths with configmap pod with mountPath of existing file"
            ),
        ),
        pytest.param(
            "secret",
            "secret-key",
            "/probe",
            "secret-value",
            marks=conforms(
                "[sig-storage] Subpath Atomic writer volumes should support subpaths with secret pod"
            ),
        ),
        pytest.param(
            "downward",
            "downward/podname",
            "/probe",
            "p",
            marks=conforms(
                "[sig-storage] Subpath Atomic writer volumes should support subpaths with downward pod"
            ),
        ),
        pytest.param(
            "projected",
            "projected/configmap-key",
            "/probe",
            "configmap-value",
            marks=conforms(
                "[sig-storage] Subpath Atomic writer volumes should support subpaths with projected pod"
            ),
        ),
    ],
)
def test_a_path_below_a_volume_of_the_api(
    scene: Scene, kind: str, path: str, target: str, content: str
) -> None:
    scene.config_map("my-configmap", **{"configmap-key": "configmap-value"})
    scene.secret("my-secret", **{"secret-key": "secret-value"})
    mount = {"name": "v", "mountPath": target, "subPath": path}
    volume = {"name": "v", **SUBPATH_SOURCES[kind]}
    assert scene.finished(pod("p", box(f"cat {target}", volumeMounts=[mount]), volumes=[volume])) == content


POD_NAME: dict[str, Any] = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
WHERE: dict[str, Any] = {
    "name": "WHERE",
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['where']"}},
}


def expanding(expression: str, command: str, *env: Manifest, **more: Any) -> Manifest:
    """A container that has the volume whole at /whole and the expression's part at /part."""
    mounts = [
        {"name": "v", "mountPath": "/part", "subPathExpr": expression},
        {"name": "v", "mountPath": "/whole"},
    ]
    return pod("p", box(command, env=list(env), volumeMounts=mounts), volumes=[empty_dir()], **more)


@conforms("[sig-node] Variable Expansion should allow substituting values in a volume subpath")
def test_a_variable_in_a_sub_path(scene: Scene) -> None:
    command = "touch /part/file && ls /whole/p/file"
    assert scene.finished(expanding("$(POD_NAME)", command, POD_NAME)) == "/whole/p/file\n"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(
            "/tmp",
            marks=conforms(
                "[sig-node] Variable Expansion should fail substituting values in a volume subpath with absolute path"
            ),
        ),
        pytest.param(
            "..",
            marks=conforms(
                "[sig-node] Variable Expansion should fail substituting values in a volume subpath with backticks"
            ),
        ),
    ],
)
def test_a_variable_that_leads_out_of_the_volume(scene: Scene, value: str) -> None:
    scene.create(expanding("$(OUT)", "sleep 60", {"name": "OUT", "value": value}))
    scene.until("p", refused_to_configure)
    assert scene.get("p").status.phase == "Pending"
    scene.core.delete_namespaced_pod("p", scene.namespace)
    scene.gone("p")


def refused_to_configure(seen: client.V1Pod) -> bool:
    statuses = seen.status.container_statuses or ()
    return any(s.state.waiting and s.state.waiting.reason == "CreateContainerConfigError" for s in statuses)


@conforms(
    "[sig-node] Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a container [Slow]"
)
def test_an_expansion_that_is_mended(scene: Scene) -> None:
    manifest = expanding("$(WHERE)", "sleep 60", WHERE, annotations={"where": "/absolute"})
    scene.create(manifest)
    scene.until("p", refused_to_configure)
    change = {"metadata": {"annotations": {"where": "relative"}}}
    scene.core.patch_namespaced_pod("p", scene.namespace, change)
    scene.until("p", is_ready)


@conforms("[sig-node] Variable Expansion should succeed in writing subpaths in container")
def test_writing_below_an_expansion(scene: Scene) -> None:
    scene.ready(expanding("$(WHERE)", "sleep 60", WHERE, annotations={"where": "mypath"}))
    scene.sh("p", "touch /part/test.log")
    assert scene.sh("p", "ls /whole/mypath/test.log") == "/whole/mypath/test.log\n"
    change = {"metadata": {"annotations": {"where": "mynewpath"}}}
    scene.core.patch_namespaced_pod("p", scene.namespace, change)
    seen = scene.get("p")
    assert condition(seen, "Ready").status == "True"
    assert seen.status.container_statuses[0].restart_count == 0
    scene.core.delete_namespaced_pod("p", scene.namespace)
    scene.gone("p")
