"""The life of storage's objects: what is asked of the API alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client
from kubernetes.client.rest import ApiException

from harness.conformance import conforms
from harness.kind import Kind
from harness.node import eventually
from harness.scene import Manifest, Scene, box, pod


def cluster_kind(scene: Scene, name: str) -> Kind:
    return Kind(client.StorageV1Api(scene.api), name)


def labelled(scene: Scene, name: str, **fields: Any) -> Manifest:
    """An object whose name and label belong to this test alone."""
    return {"metadata": {"name": f"{scene.namespace}-{name}", "labels": {"of": scene.namespace}}, **fields}


def replaced(read: Callable[[], Any], change: Callable[[Any], None], replace: Callable[[Any], Any]) -> Any:
    """Reads, changes and writes again until nobody else was quicker."""

    def once() -> Any:
        seen = read()
        change(seen)
        try:
            return replace(seen)
        except ApiException as error:
            assert error.status == 409, error
            return None

    return eventually(once)


@conforms("[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver")
def test_life_of_a_csi_driver(scene: Scene) -> None:
    drivers, chosen = cluster_kind(scene, "csi_driver"), f"of={scene.namespace}"
    names = [f"{scene.namespace}-{each}" for each in ("a", "b")]
    for each in ("a", "b"):
        drivers.create(
            labelled(scene, each, spec={"attachRequired": False, "volumeLifecycleModes": ["Ephemeral"]})
        )
    assert drivers.label(names[0], patched="yes").metadata.labels["patched"] == "yes"
    assert drivers.relabel(names[0], updated="yes").metadata.labels["updated"] == "yes"
    assert len(drivers.list(chosen)) == 2
    drivers.delete(names[0])
    drivers.delete_all(chosen)
    assert not drivers.list(chosen)


@conforms("[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API")
def test_pods_may_name_csi_volumes(scene: Scene) -> None:
    source = {"driver": "inline.example.com", "volumeAttributes": {"a": "b"}, "readOnly": True}
    manifest = pod(
        "p", box("sleep 60"), volumes=[{"name": "v", "csi": source}], nodeSelector={"nobody": "has"}
    )
    scene.create(manifest)
    assert scene.get("p").spec.volumes[0].csi.driver == "inline.example.com"
    pods = Kind(scene.core, "pod", scene.namespace)
    assert len(pods.list()) == 1
    assert pods.label("p", patched="yes").metadata.labels["patched"] == "yes"
    pods.delete("p")
    pods.gone("p")


@conforms("[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode")
def test_life_of_a_csi_node(scene: Scene) -> None:
    nodes, chosen = cluster_kind(scene, "csi_node"), f"of={scene.namespace}"
    first, second = f"{scene.namespace}-a", f"{scene.namespace}-b"
    drivers = [{"name": "d.example.com", "nodeID": "n", "topologyKeys": ["zone"]}]
    nodes.create(labelled(scene, "a", spec={"drivers": drivers}))
    assert nodes.read(first).metadata.name == first
    assert nodes.label(first, patched="yes").metadata.labels["patched"] == "yes"
    assert len(nodes.list("patched=yes")) == 1
    nodes.delete(first)
    nodes.gone(first)
    nodes.create(labelled(scene, "b", spec={"drivers": []}))
    assert nodes.read(second).metadata.name == second
    assert nodes.relabel(second, updated="yes").metadata.labels["updated"] == "yes"
    nodes.delete_all(chosen)
    nodes.gone(second)


@conforms("[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations")
def test_life_of_a_csi_storage_capacity(scene: Scene) -> None:
    api = client.StorageV1Api(scene.api)
    assert "storage.k8s.io" in [group.name for group in client.ApisApi(scene.api).get_api_versions().groups]
    assert "v1" in [version.version for version in client.StorageApi(scene.api).get_api_group().versions]
    assert "csistoragecapacities" in [each.name for each in api.get_api_resources().resources]
    capacities = Kind(api, "csi_storage_capacity", scene.namespace)
    for name in ("a", "b", "c"):
        capacities.create(labelled(scene, name, storageClassName="fast", capacity="1Gi"))
    first = f"{scene.namespace}-a"
    assert capacities.read(first).capacity == "1Gi"
    assert len(capacities.list(f"of={scene.namespace}")) == 3
    everywhere = api.list_csi_storage_capacity_for_all_namespaces(label_selector=f"of={scene.namespace}")
    assert len(everywhere.items) == 3
    assert capacities.label(first, patched="yes").metadata.labels["patched"] == "yes"
    assert capacities.relabel(first, updated="yes").metadata.labels["updated"] == "yes"
    capacities.delete(first)
    capacities.gone(first)
    capacities.delete_all(f"of={scene.namespace}")
    assert not capacities.list()


@conforms("[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass")
def test_life_of_a_storage_class(scene: Scene) -> None:
    classes = cluster_kind(scene, "storage_class")
    first, second = f"{scene.namespace}-a", f"{scene.namespace}-b"
    classes.create(labelled(scene, "a", provisioner="p.example.com"))
    assert classes.read(first).provisioner == "p.example.com"
    assert classes.label(first, patched="yes").metadata.labels["patched"] == "yes"
    classes.delete(first)
    classes.gone(first)
    classes.create(labelled(scene, "b", provisioner="p.example.com"))
    assert classes.relabel(second, updated="yes").metadata.labels["updated"] == "yes"
    classes.delete_all(f"of={scene.namespace}")
    classes.gone(second)


def attachment(scene: Scene, name: str) -> Manifest:
    source = {"persistentVolumeName": f"{scene.namespace}-pv"}
    return labelled(scene, name, spec={"attacher": "a.example.com", "nodeName": "nobody", "source": source})


@conforms("[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment")
def test_life_of_a_volume_attachment(scene: Scene) -> None:
    attachments, chosen = cluster_kind(scene, "volume_attachment"), f"of={scene.namespace}"
    first = f"{scene.namespace}-a"
    attachments.create(attachment(scene, "a"))
    assert attachments.read(first).metadata.name == first
    assert attachments.label(first, patched="yes").metadata.labels["patched"] == "yes"
    assert len(attachments.list(f"{chosen},patched=yes")) == 1
    attachments.delete(first)
    attachments.gone(first)
    for each in ("b", "c"):
        attachments.create(attachment(scene, each))
        assert (
            attachments.relabel(f"{scene.namespace}-{each}", updated="yes").metadata.labels["updated"]
            == "yes"
        )
    attachments.delete_all(chosen)
    eventually(lambda: not attachments.list(chosen))


@conforms("[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status")
def test_status_of_a_volume_attachment(scene: Scene) -> None:
    api, name = client.StorageV1Api(scene.api), f"{scene.namespace}-a"
    api.create_volume_attachment(attachment(scene, "a"))
    patched = api.patch_volume_attachment(name, {"metadata": {"labels": {"patched": "yes"}}})
    assert patched.metadata.labels["patched"] == "yes"
    assert api.read_volume_attachment_status(name).status.attached is False
    api.patch_volume_attachment_status(name, {"status": {"attached": True}})
    assert api.read_volume_attachment_status(name).status.attached is True

    def detach(seen: Any) -> None:
        seen.status.attached = False

    answer = replaced(
        lambda: api.read_volume_attachment_status(name),
        detach,
        lambda seen: api.replace_volume_attachment_status(name, seen),
    )
    assert answer.status.attached is False
    api.delete_volume_attachment(name)
    cluster_kind(scene, "volume_attachment").gone(name)


def volume(scene: Scene, name: str) -> Manifest:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": f"{scene.namespace}-none",
        "csi": {"driver": "d.example.com", "volumeHandle": name},
    }
    return labelled(scene, name, spec=spec)


def claim(scene: Scene, name: str) -> Manifest:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": f"{scene.namespace}-nothing",
    }
    return labelled(scene, name, spec=spec)


@conforms(
    "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC"
)
def test_life_of_a_volume_and_a_claim(scene: Scene) -> None:
    volumes = Kind(scene.core, "persistent_volume")
    claims = Kind(scene.core, "persistent_volume_claim", scene.namespace)
    chosen, first, second = f"of={scene.namespace}", f"{scene.namespace}-a", f"{scene.namespace}-b"
    for kind, body in ((volumes, volume(scene, "a")), (claims, claim(scene, "a"))):
        uid = kind.create(body).metadata.uid
        assert len(kind.list(chosen)) == 1
        assert kind.label(first, patched="yes").metadata.labels["patched"] == "yes"
        assert kind.read(first).metadata.uid == uid
    for kind in (claims, volumes):
        kind.delete(first)
        kind.gone(first)
    for kind, body in ((volumes, volume(scene, "b")), (claims, claim(scene, "b"))):
        kind.create(body)
        assert kind.relabel(second, updated="yes").metadata.labels["updated"] == "yes"
    for kind in (claims, volumes):
        kind.delete_all(chosen)
        kind.gone(second)


@conforms("[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status")
def test_status_of_a_volume_and_a_claim(scene: Scene) -> None:
    core, namespace, name = scene.core, scene.namespace, f"{scene.namespace}-a"
    core.create_persistent_volume(volume(scene, "a"))
    core.create_namespaced_persistent_volume_claim(namespace, claim(scene, "a"))
    assert len(core.list_persistent_volume(label_selector=f"of={namespace}").items) == 1
    assert len(core.list_namespaced_persistent_volume_claim(namespace).items) == 1
    eventually(lambda: core.read_persistent_volume_status(name).status.phase in ("Pending", "Available"))
    assert core.read_namespaced_persistent_volume_claim_status(name, namespace).status.phase == "Pending"

    condition = {"type": "StatusPatched", "status": "True", "reason": "Test", "message": "patched"}
    patched = core.patch_namespaced_persistent_volume_claim_status(
        name, namespace, {"status": {"conditions": [condition]}}
    )
    assert patched.status.conditions[0].type == "StatusPatched"
    change = {"status": {"reason": "Patched", "message": "patched"}}
    assert core.patch_persistent_volume_status(name, change).status.reason == "Patched"

    def condition_updated(seen: Any) -> None:
        seen.status.conditions = [{**condition, "type": "StatusUpdated"}]

    def reason_updated(seen: Any) -> None:
        seen.status.reason = "Updated"

    answer = replaced(
        lambda: core.read_namespaced_persistent_volume_claim_status(name, namespace),
        condition_updated,
        lambda seen: core.replace_namespaced_persistent_volume_claim_status(name, namespace, seen),
    )
    assert [each.type for each in answer.status.conditions] == ["StatusUpdated"]
    answer = replaced(
        lambda: core.read_persistent_volume_status(name),
        reason_updated,
        lambda seen: core.replace_persistent_volume_status(name, seen),
    )
    assert answer.status.reason == "Updated"
    core.delete_namespaced_persistent_volume_claim(name, namespace)
    core.delete_persistent_volume(name)
