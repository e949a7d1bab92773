"""What a claim turns out to be on the node, and what is said while it is nothing yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.storage import bound_claim, claim, only_on, ref, volume
from sampan.api.objects import Obj
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.kubelet.references import References
from sampan.kubelet.volumes.claims import Claims
from sampan.kubelet.volumes.contract import Mounted, Volume, VolumeFault
from sampan.kubelet.volumes.hostpath import HostPath
from sampan.kubelet.volumes.local import Local

NODE = {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}}
UNABLE = (
    "Unable to attach or mount volumes: unmounted volumes=[d], unattached volumes=[], "
    "failed to process volumes=[d]: error processing PVC default/{}: {}"
)


def pod(use: str = "volumeMounts", **source: Obj) -> Obj:
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "u-p"},
        "spec": {
            "volumes": [{"name": "d", **(source or {"persistentVolumeClaim": {"claimName": "data"}})}],
            "containers": [{"name": "c", use: [{"name": "d"}]}],
        },
    }


async def mounted(user: Obj, *objects: Obj) -> Mounted:
    client = Client(FakeTransport(*objects))
    kinds = {"hostPath": HostPath(), "local": Local()}
    claims = Claims(client, References(client), lambda: NODE, kinds)
    return await claims.setup(Volume(user, user["spec"]["volumes"][0], Path("/nowhere")))


async def said(user: Obj, *objects: Obj) -> str:
    with pytest.raises(VolumeFault) as caught:
        await mounted(user, *objects)
    return caught.value.told


def at(path: Path | str, **spec: Any) -> Obj:
    return volume(claimRef=ref(), local={"path": str(path)}, nodeAffinity=only_on("n1"), **spec)


async def test_it_is_what_its_volume_is_made_of(tmp_path: Path) -> None:
    assert await mounted(pod(), bound_claim(), at(tmp_path)) == Mounted(str(tmp_path))
    source = {"path": str(tmp_path), "type": "Directory"}
    assert await mounted(pod(), bound_claim(), volume(claimRef=ref(), hostPath=source)) == Mounted(
        str(tmp_path)
    )


@pytest.mark.parametrize(
    ("source", "options", "found"),
    [
        ({"claimName": "data", "readOnly": True}, [], (True, False)),
        ({"claimName": "data"}, ["ro", "noexec"], (True, True)),
        ({"claimName": "data"}, ["rw", "nosuid"], (False, False)),
    ],
)
async def test_how_it_may_be_used(
    tmp_path: Path, source: Obj, options: list[str], found: tuple[bool, bool]
) -> None:
    result = await mounted(
        pod(persistentVolumeClaim=source), bound_claim(), at(tmp_path, mountOptions=options)
    )
    assert (result.read_only, result.no_exec) == found


def going() -> Obj:
    found = bound_claim()
    found["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    return found


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([], 'failed to fetch PVC from API server: persistentvolumeclaims "data" not found'),
        ([claim()], "PVC is not bound"),
        ([going()], "PVC is being deleted"),
        ([bound_claim()], 'failed to fetch PV v from API server: persistentvolumes "v" not found'),
        (
            [bound_claim(), volume()],
            "found PV object v but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim",
        ),
        (
            [bound_claim(), volume(claimRef=ref(uid="u-other"))],
            "found PV object v but its pv.Spec.ClaimRef.UID u-other does not point to claim.UID u-data",
        ),
        (
            [bound_claim(), at("/srv", volumeMode="Block")],
            "volume d has volumeMode Block, but is specified in volumeMounts",
        ),
    ],
)
async def test_what_is_said_of_a_claim_that_is_nothing_yet(objects: list[Obj], why: str) -> None:
    assert await said(pod(), *objects) == UNABLE.format("data", why)


async def test_a_pod_that_has_run_goes_on_with_a_claim_that_is_on_its_way_out(tmp_path: Path) -> None:
    user = pod()
    user["status"] = {"containerStatuses": [{"name": "c", "state": {"waiting": {}}, "restartCount": 0}]}
    assert await said(user, going(), at(tmp_path)) == UNABLE.format("data", "PVC is being deleted")
    user["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 1}}
    assert await mounted(user, going(), at(tmp_path)) == Mounted(str(tmp_path))


async def test_what_is_said_of_devices() -> None:
    device = pod("volumeDevices")
    assert await said(device, bound_claim(), at("/srv")) == UNABLE.format(
        "data", "volume d has volumeMode Filesystem, but is specified in volumeDevices"
    )
    assert await said(device, bound_claim(), at("/dev/sda", volumeMode="Block")) == UNABLE.format(
        "data", "volume d has volumeMode Block, which this node does not support"
    )


async def test_an_ephemeral_volume_is_the_pods_own_claim(tmp_path: Path) -> None:
    mine = bound_claim("p-d")
    user = pod(ephemeral={"volumeClaimTemplate": {}})
    there = volume(claimRef=ref("p-d"), local={"path": str(tmp_path)})
    why = "PVC default/p-d was not created for pod default/p (pod is not owner)"
    assert await said(user, mine, there) == UNABLE.format("p-d", why)
    mine["metadata"]["ownerReferences"] = [{"uid": "u-p", "controller": True}]
    assert await mounted(user, mine, there) == Mounted(str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"local": {"path": "/missing"}},
            'MountVolume.SetUp failed for volume "v" : path "/missing" does not exist',
        ),
        (
            {"nodeAffinity": only_on("n2"), "local": {"path": "/srv"}},
            'MountVolume.NodeAffinity check failed for volume "v" : no matching NodeSelectorTerms',
        ),
        ({"fc": {}}, 'MountVolume.SetUp failed for volume "v" : no volume plugin matched: fc'),
        (
            {"hostPath": {"path": "/srv"}, "mountOptions": ["ro"]},
            'MountVolume.SetUp failed for volume "v" : Mount options are not supported for this volume type',
        ),
        (
            {"local": {"path": "/srv"}, "mountOptions": ["discard"]},
            'MountVolume.SetUp failed for volume "v" : mount option "discard" is not supported',
        ),
    ],
)
async def test_what_is_said_of_a_volume_that_cannot_be_mounted(spec: Obj, told: str) -> None:
    assert await said(pod(), bound_claim(), volume(claimRef=ref(), **spec)) == told
