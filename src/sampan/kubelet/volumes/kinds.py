"""Every kind of volume that this node can make, by the field of `VolumeSource` that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan.kubelet.images.contract import Images
from sampan.kubelet.references import References
from sampan.kubelet.volumes.absent import absent
from sampan.kubelet.volumes.contract import Mounter, VolumeKind
from sampan.kubelet.volumes.emptydir import EmptyDir
from sampan.kubelet.volumes.hostpath import HostPath
from sampan.kubelet.volumes.image import ImageVolume, Pull
from sampan.kubelet.volumes.nfs import Nfs
from sampan.kubelet.volumes.projection import FIELDS, Projection
from sampan.kubelet.volumes.tokens import Tokens

Kinds = Mapping[str, VolumeKind]


def kinds(
    mounter: Mounter,
    references: References,
    tokens: Tokens,
    allocatable: Callable[[], Mapping[str, str]],
    images: Images,
    pull: Pull,
) -> Kinds:
    """`allocatable`: the node's, for downward API files of limits that are not set, and what is in memory."""
    projection = Projection(mounter, references, tokens, allocatable)
    return {
        "emptyDir": EmptyDir(mounter, allocatable),
        "hostPath": HostPath(),
        "image": ImageVolume(mounter, images, pull),
        "nfs": Nfs(),
        **dict.fromkeys(FIELDS, projection),
        **absent(),
    }
