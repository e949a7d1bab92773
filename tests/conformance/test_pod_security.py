"""Under whose identity, with which rights and by which runtime a container runs."""

from __future__ import annotations

from typing import Any

from kubernetes import client
from kubernetes.client.rest import ApiException

from harness.conformance import conforms
from harness.scene import Manifest, Scene, box, is_ready, pod, refused

ID = "echo $(id -u):$(id -g)"


@conforms(
    "[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534 [LinuxOnly] [NodeConformance]"
)
def test_the_user_of_a_container(scene: Scene) -> None:
    assert scene.finished(pod("p", box("id -u", securityContext={"runAsUser": 65534}))) == "65534\n"


@conforms(
    "[sig-node] Security Context should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup [LinuxOnly]"
)
def test_user_and_group_of_a_container(scene: Scene) -> None:
    context = {"runAsUser": 1001, "runAsGroup": 2002}
    assert scene.finished(pod("p", box(ID, securityContext=context))) == "1001:2002\n"


@conforms(
    "[sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup [LinuxOnly]"
)
def test_user_and_group_of_a_pod(scene: Scene) -> None:
    context = {"runAsUser": 1001, "runAsGroup": 2002}
    assert scene.finished(pod("p", box(ID), securityContext=context)) == "1001:2002\n"


@conforms(
    "[sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when false [LinuxOnly] [NodeConformance]"
)
def test_an_unprivileged_container_makes_no_link(scene: Scene) -> None:
    command = "ip link add dummy0 type dummy && echo made || echo refused"
    log = scene.finished(pod("p", box(command, securityContext={"privileged": False})))
    assert "refused" in log and "made" not in log


@conforms(
    "[sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when readOnlyRootFilesystem=false [NodeConformance]"
)
def test_a_writable_root(scene: Scene) -> None:
    context = {"readOnlyRootFilesystem": False}
    assert scene.finished(pod("p", box("echo x > /file && cat /file", securityContext=context))) == "x\n"


@conforms(
    "[sig-node] Kubelet when scheduling a read only busybox container should not write to root filesystem [LinuxOnly] [NodeConformance]"
)
def test_a_read_only_root(scene: Scene) -> None:
    context = {"readOnlyRootFilesystem": True}
    log = scene.finished(pod("p", box("echo x > /file; true", securityContext=context)))
    assert "Read-only file system" in log


@conforms(
    "[sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false [LinuxOnly] [NodeConformance]"
)
def test_no_way_to_more_rights(scene: Scene) -> None:
    # The file that sets its user's id to root's lies in a volume that another user made.
    volume = {"name": "v", "emptyDir": {}}
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    prepare = box("cp /bin/busybox /v/id && chmod 4755 /v/id", name="prepare", **mount)
    context = {"allowPrivilegeEscalation": False, "runAsUser": 1000}
    manifest = pod(
        "p", box("/v/id -u", securityContext=context, **mount), volumes=[volume], initContainers=[prepare]
    )
    assert scene.finished(manifest) == "1000\n"


@conforms(
    "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should support sysctls [MinimumKubeletVersion:1.21] [Environment:NotInUserNS]"
)
def test_a_sysctl(scene: Scene) -> None:
    context = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    log = scene.finished(pod("p", box("cat /proc/sys/kernel/shm_rmid_forced"), securityContext=context))
    assert log == "1\n"


@conforms(
    "[sig-node] Sysctls [LinuxOnly] [NodeConformance] should reject invalid sysctls [MinimumKubeletVersion:1.21]"
)
def test_malformed_sysctls_are_refused(scene: Scene) -> None:
    names = ("foo-", "kernel.shmmax", "safe-and-unsafe", "bar..")
    context = {"sysctls": [{"name": name, "value": "1"} for name in names]}
    body = refused(422, scene.create, pod("p", box("true"), securityContext=context))
    assert 'Invalid value: \\"foo-\\"' in body and 'Invalid value: \\"bar..\\"' in body
    assert "safe-and-unsafe" not in body and "kernel.shmmax" not in body


def runtime_class(scene: Scene, **more: Any) -> str:
    name = f"class-{scene.namespace}"
    body = {"metadata": {"name": name}, "handler": "crun", **more}
    client.NodeV1Api(scene.api).create_runtime_class(body)
    return name


@conforms(
    "[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [NodeConformance]"
)
def test_a_runtime_class_that_never_was(scene: Scene) -> None:
    assert "nobody" in refused(403, scene.create, pod("p", box("true"), runtimeClassName="nobody"))


@conforms("[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [NodeConformance]")
def test_a_runtime_class_that_was_deleted(scene: Scene) -> None:
    name = runtime_class(scene)
    client.NodeV1Api(scene.api).delete_runtime_class(name)
    assert name in refused(403, scene.create, pod("p", box("true"), runtimeClassName=name))


@conforms(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [NodeConformance]"
)
def test_a_runtime_class(scene: Scene) -> None:
    made = scene.create(pod("p", box("sleep 60"), runtimeClassName=runtime_class(scene)))
    assert made.spec.overhead is None
    scene.until("p", is_ready)


@conforms(
    "[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead [NodeConformance]"
)
def test_a_runtime_class_with_overhead(scene: Scene) -> None:
    overhead = {"podFixed": {"cpu": "10m", "memory": "1Mi"}}
    made = scene.create(pod("p", box("sleep 60"), runtimeClassName=runtime_class(scene, overhead=overhead)))
    assert made.spec.overhead == {"cpu": "10m", "memory": "1Mi"}
    scene.until("p", lambda seen: seen.spec.node_name)


@conforms("[sig-node] RuntimeClass should support RuntimeClasses API operations")
def test_life_of_a_runtime_class(scene: Scene) -> None:
    api, label = client.NodeV1Api(scene.api), f"set={scene.namespace}"
    assert "node.k8s.io" in [group.name for group in client.ApisApi(scene.api).get_api_versions().groups]
    assert "v1" in [version.version for version in client.NodeApi(scene.api).get_api_group().versions]
    assert "runtimeclasses" in [each.name for each in api.get_api_resources().resources]

    def body(name: str) -> Manifest:
        labels = {"set": scene.namespace}
        return {"metadata": {"name": f"{scene.namespace}-{name}", "labels": labels}, "handler": "crun"}

    for name in ("a", "b", "c"):
        api.create_runtime_class(body(name))
    first = f"{scene.namespace}-a"
    assert api.read_runtime_class(first).handler == "crun"
    assert len(api.list_runtime_class(label_selector=label).items) == 3
    patched = api.patch_runtime_class(first, {"metadata": {"annotations": {"patched": "yes"}}})
    patched.metadata.annotations["updated"] = "yes"
    assert api.replace_runtime_class(first, patched).metadata.annotations == {
        "patched": "yes",
        "updated": "yes",
    }
    api.delete_runtime_class(first)
    try:
        api.read_runtime_class(first)
        raise AssertionError("still there")
    except ApiException as error:
        assert error.status == 404
    api.delete_collection_runtime_class(label_selector=label)
    assert not api.list_runtime_class(label_selector=label).items
