"""No field of a volume goes unanswered: it is made, or the user hears why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.api import schema
from sampan.api.objects import Obj
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.kubelet.images.contract import Image, ImageFault
from sampan.kubelet.images.fake import FakeImages
from sampan.kubelet.references import References
from sampan.kubelet.volumes import claims
from sampan.kubelet.volumes.contract import Volume, VolumeFault
from sampan.kubelet.volumes.fake import FakeMounter
from sampan.kubelet.volumes.kinds import Kinds, kinds
from sampan.kubelet.volumes.tokens import Tokens


async def none(pod: Obj, reference: str) -> Image:
    raise ImageFault("ErrImagePull", reference)


def table() -> Kinds:
    client = Client(FakeTransport())
    return kinds(FakeMounter(), References(client), Tokens(client), dict, FakeImages(), none)


def test_every_field_has_its_kind() -> None:
    fields = set(schema.definition("io.k8s.api.core.v1.Volume").fields) - {"name"}
    assert fields == {*table(), *claims.FIELDS}


def test_no_two_kinds_share_a_directory() -> None:
    found = set(table().values())
    assert len({kind.plugin for kind in found}) == len(found)


@pytest.mark.parametrize("field", ["rbd", "iscsi", "flexVolume", "azureFile", "glusterfs"])
async def test_what_cannot_be_made_says_so(tmp_path: Path, field: str) -> None:
    with pytest.raises(VolumeFault, match=field):
        await table()[field].setup(Volume({}, {"name": "v", field: {}}, tmp_path))
