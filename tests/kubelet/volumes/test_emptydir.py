"""emptyDir: modes, sizes, media, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.volumes.contract import Volume, VolumeFault
from sampan.kubelet.volumes.emptydir import EmptyDir, excess, memory_bytes
from sampan.kubelet.volumes.fake import FakeMounter
from sampan.kubelet.volumes.ownership import make

MI = 1 << 20
NODE = {"memory": "1Gi"}


def pod(source: Obj, limit: str = "", fs_group: int | None = None, requests: Obj | None = None) -> Obj:
    resources: Obj = {"limits": {"memory": limit}} if limit else {}
    if requests:
        resources["requests"] = requests
    spec: Obj = {
        "containers": [{"name": "c", "image": "i", "resources": resources}],
        "volumes": [{"name": "v", "emptyDir": source}],
    }
    if fs_group is not None:
        spec["securityContext"] = {"fsGroup": fs_group}
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}


def volume(root: Path, owner: Obj) -> Volume:
    return Volume(owner, owner["spec"]["volumes"][0], root / "plugin" / "v")


async def test_on_disk_it_is_everybodys(tmp_path: Path) -> None:
    mounter = FakeMounter()
    mounted = await EmptyDir(mounter, lambda: NODE).setup(volume(tmp_path, pod({})))
    assert Path(mounted.path).stat().st_mode & 0o7777 == 0o777
    assert not mounter.tmpfses
    assert [entry.name for entry in (tmp_path / "plugin").iterdir()] == ["v"]


async def test_what_the_containers_made_of_it_stays(tmp_path: Path) -> None:
    kind, made = EmptyDir(FakeMounter(), lambda: NODE), volume(tmp_path, pod({}))
    path = Path((await kind.setup(made)).path)
    path.chmod(0o700)
    (path / "f").write_text("x")
    await kind.setup(made)
    assert path.stat().st_mode & 0o7777 == 0o700
    assert (path / "f").read_text() == "x"


@pytest.mark.root
async def test_of_the_fs_group(tmp_path: Path) -> None:
    path = Path((await EmptyDir(FakeMounter(), dict).setup(volume(tmp_path, pod({}, fs_group=1234)))).path)
    assert path.stat().st_gid == 1234
    assert path.stat().st_mode & 0o7777 == 0o2777


def test_a_directory_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    make(tmp_path / "a" / "v", None)
    make(tmp_path / "a" / "v", None)
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["v"]


@pytest.mark.parametrize(
    ("source", "limit", "node", "expected"),
    [
        ({"sizeLimit": "10Mi"}, "20Mi", NODE, 10 * MI),
        ({"sizeLimit": "0"}, "20Mi", NODE, 20 * MI),
        ({}, "20Mi", NODE, 20 * MI),
        ({}, "2Gi", NODE, 1024 * MI),
        ({}, "", NODE, 1024 * MI),
        ({}, "", {}, 0),
    ],
)
def test_the_size_in_memory(tmp_path: Path, source: Obj, limit: str, node: Any, expected: int) -> None:
    assert memory_bytes(volume(tmp_path, pod(source | {"medium": "Memory"}, limit)), node) == expected


async def test_in_memory(tmp_path: Path) -> None:
    mounter = FakeMounter()
    made = volume(tmp_path, pod({"medium": "Memory", "sizeLimit": "1Mi"}))
    await EmptyDir(mounter, lambda: NODE).setup(made)
    assert mounter.tmpfses == {str(made.directory): MI}


@pytest.mark.parametrize(
    ("medium", "requests", "complaint"),
    [
        ("HugePages-2Mi", {}, "medium HugePages-2Mi: the node has no huge pages of size 2Mi"),
        ("HugePages", {"hugepages-2Mi": "4Mi"}, "medium HugePages: the node has no huge pages of size 2Mi"),
        ("HugePages", {}, "medium HugePages needs a Pod that asks for huge pages of one size, not of 0"),
        ("Tape", {}, 'unknown storage medium "Tape"'),
    ],
)
async def test_what_the_node_lacks(tmp_path: Path, medium: str, requests: Obj, complaint: str) -> None:
    made = volume(tmp_path, pod({"medium": medium}, requests=requests))
    with pytest.raises(VolumeFault) as caught:
        await EmptyDir(FakeMounter(), lambda: NODE, tmp_path / "pools").setup(made)
    assert caught.value.message == complaint


async def test_huge_pages(tmp_path: Path) -> None:
    pool = tmp_path / "pools" / "hugepages-2048kB"
    pool.mkdir(parents=True)
    (pool / "nr_hugepages").write_text("8\n")
    mounter, made = FakeMounter(), volume(tmp_path, pod({"medium": "HugePages-2Mi"}))
    await EmptyDir(mounter, lambda: NODE, tmp_path / "pools").setup(made)
    assert mounter.huge == {str(made.directory): 2 * MI}


@pytest.mark.parametrize(
    ("source", "used", "complaint"),
    [
        ({"sizeLimit": "1Mi"}, MI + 1, 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
        ({"sizeLimit": "1Mi"}, MI, ""),
        ({"sizeLimit": "0"}, MI, ""),
        ({}, MI, ""),
        ({"sizeLimit": "1Mi", "medium": "Memory"}, 2 * MI, ""),
    ],
)
def test_limits_on_disk(source: Obj, used: int, complaint: str) -> None:
    assert excess(pod(source), {"v": used}) == complaint
