"""Kinds of volumes that this node cannot make: it says which, and why.

Upstream has taken most of them out of the kubelet as well; what is left there goes through CSI drivers.
Source: concepts/storage/volumes#volume-types.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.objects import Obj
from sampan.kubelet.volumes.contract import Mounted, Settled, Volume, VolumeFault

_DRIVERS = {
    "awsElasticBlockStore": "ebs.csi.aws.com",
    "azureDisk": "disk.csi.azure.com",
    "azureFile": "file.csi.azure.com",
    "cinder": "cinder.csi.openstack.org",
    "gcePersistentDisk": "pd.csi.storage.gke.io",
    "portworxVolume": "pxd.portworx.com",
    "vsphereVolume": "csi.vsphere.vmware.com",
}
"""Migrated: the field is still there, the work is the driver's."""
_REMOVED = {
    "cephfs": "1.31",
    "flocker": "1.25",
    "glusterfs": "1.26",
    "photonPersistentDisk": "1.27",
    "quobyte": "1.25",
    "rbd": "1.31",
    "scaleIO": "1.22",
    "storageos": "1.25",
}
_NO_DRIVER = "driver name {} not found in the list of registered CSI drivers"
_UNSERVED = "volumes of type {} are not served by this node"


def _csi(source: Obj) -> str:
    return "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: " + _NO_DRIVER.format(
        source["driver"]
    )


def _git_repo(source: Obj) -> str:
    return "git-repo volume plugin has been disabled; clone into an emptyDir from an init container instead"


class Absent(Settled):
    """`why` makes the reason of the volume's source."""

    def __init__(self, field: str, why: Callable[[Obj], str]) -> None:
        self.plugin = f"kubernetes.io~{field.lower()}"
        self._field, self._why = field, why

    async def setup(self, volume: Volume) -> Mounted:
        raise VolumeFault(volume.name, self._why(volume.spec[self._field]))


def absent() -> dict[str, Absent]:
    """By field of `VolumeSource`."""
    reasons: dict[str, Callable[[Obj], str]] = {"csi": _csi, "gitRepo": _git_repo}
    for field in ("fc", "flexVolume", "iscsi"):
        reasons[field] = _always(_UNSERVED.format(field))
    for field, driver in _DRIVERS.items():
        reasons[field] = _always(f"{field} is the work of a CSI driver: {_NO_DRIVER.format(driver)}")
    for field, version in _REMOVED.items():
        reasons[field] = _always(f"no volume plugin matched: {field} was removed in Kubernetes {version}")
    return {field: Absent(field, why) for field, why in reasons.items()}


def _always(text: str) -> Callable[[Obj], str]:
    return lambda source: text
