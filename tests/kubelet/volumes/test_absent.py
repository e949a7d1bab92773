"""A volume that this node cannot make says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.volumes.absent import absent
from sampan.kubelet.volumes.contract import Volume, VolumeFault


@pytest.mark.parametrize(
    ("field", "source", "reason"),
    [
        (
            "csi",
            {"driver": "inline.example.com"},
            "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: "
            "driver name inline.example.com not found in the list of registered CSI drivers",
        ),
        (
            "gcePersistentDisk",
            {"pdName": "d"},
            "gcePersistentDisk is the work of a CSI driver: "
            "driver name pd.csi.storage.gke.io not found in the list of registered CSI drivers",
        ),
        ("rbd", {}, "no volume plugin matched: rbd was removed in Kubernetes 1.31"),
        ("iscsi", {}, "volumes of type iscsi are not served by this node"),
        (
            "gitRepo",
            {"repository": "r"},
            "git-repo volume plugin has been disabled; clone into an emptyDir from an init container instead",
        ),
    ],
)
async def test_reasons(tmp_path: Path, field: str, source: Obj, reason: str) -> None:
    volume = Volume({}, {"name": "v", field: source}, tmp_path)
    with pytest.raises(VolumeFault) as caught:
        await absent()[field].setup(volume)
    assert (caught.value.volume, caught.value.message) == ("v", reason)
