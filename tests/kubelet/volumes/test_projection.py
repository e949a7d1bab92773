"""API objects as files: there, missing, optional, coming and going. How they change: test_atomicwriter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.api.resources import CONFIG_MAPS, SECRETS
from sampan.client.client import Client
from sampan.client.fake import FakeTransport
from sampan.kubelet.references import References
from sampan.kubelet.volumes.contract import Mounted, Volume, VolumeFault
from sampan.kubelet.volumes.fake import FakeMounter
from sampan.kubelet.volumes.projection import Projection
from sampan.kubelet.volumes.tokens import Tokens


class Rig:
    def __init__(self, root: Path) -> None:
        self.api, self.mounter, self.root = FakeTransport(), FakeMounter(), root
        client = Client(self.api)
        self.kind = Projection(self.mounter, References(client), Tokens(client), dict)

    def add(self, kind: str, **data: str) -> None:
        metadata = {"name": "o", "namespace": "n"}
        self.api.add({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data})

    def volume(self, **source: Obj) -> Volume:
        pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": []}}
        return Volume(pod, {"name": "v", **source}, self.root / "objects" / "v")

    def shown(self) -> dict[str, str]:
        directory = self.root / "objects" / "v"
        names = [entry.name for entry in directory.iterdir() if not entry.name.startswith("..")]
        return {name: (directory / name).read_text() for name in names}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    yield Rig(tmp_path)


async def test_all_of_a_pod_lie_on_one_tmpfs(rig: Rig) -> None:
    rig.add("ConfigMap", a="1")
    volume = rig.volume(configMap={"name": "o"})
    assert await rig.kind.setup(volume) == Mounted(str(volume.directory), read_only=True)
    assert rig.mounter.tmpfses == {str(volume.directory.parent): 0}
    assert rig.shown() == {"a": "1"}
    assert volume.directory.stat().st_mode & 0o7777 == 0o777


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"configMap": {"name": "o", "optional": True}}, "ConfigMap"),
        ({"secret": {"secretName": "o", "optional": True}}, "Secret"),
        ({"projected": {"sources": [{"configMap": {"name": "o", "optional": True}}]}}, "ConfigMap"),
    ],
)
async def test_optional_sources_come_and_go(rig: Rig, source: Obj, kind: str) -> None:
    volume = rig.volume(**source)
    await rig.kind.setup(volume)
    assert rig.shown() == {}
    rig.add(kind, a="MTIz")
    await rig.kind.refresh(volume)
    assert rig.shown() == {"a": "123" if kind == "Secret" else "MTIz"}
    rig.api.remove(SECRETS if kind == "Secret" else CONFIG_MAPS, "o", "n")
    await rig.kind.refresh(volume)
    assert rig.shown() == {}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        (
            {"configMap": {"name": "o", "items": [{"key": "b", "path": "p"}]}},
            "configmap references non-existent config key: b",
        ),
        (
            {"projected": {"sources": [{"podCertificate": {"signerName": "a/b"}}]}},
            "projected source podCertificate is not served by this node",
        ),
    ],
)
async def test_faults(rig: Rig, source: Obj, complaint: str) -> None:
    rig.add("ConfigMap", a="1")
    with pytest.raises(VolumeFault) as caught:
        await rig.kind.setup(rig.volume(**source))
    assert (caught.value.volume, caught.value.message) == ("v", complaint)


async def test_a_source_that_goes_leaves_its_last_files(rig: Rig) -> None:
    """Of one that is needed: the Pod keeps what it has, and the user is told."""
    rig.add("ConfigMap", a="1")
    volume = rig.volume(configMap={"name": "o"})
    await rig.kind.setup(volume)
    rig.api.remove(CONFIG_MAPS, "o", "n")
    with pytest.raises(VolumeFault):
        await rig.kind.refresh(volume)
    assert rig.shown() == {"a": "1"}
