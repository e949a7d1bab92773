"""All volumes of a Pod: made once, mounted where asked, given back whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.api.objects import Obj
from sampan.kubelet.volumes.contract import Mounted, Settled, SubPathFault, Volume, VolumeFault
from sampan.kubelet.volumes.emptydir import EmptyDir
from sampan.kubelet.volumes.fake import FakeMounter
from sampan.kubelet.volumes.volumes import Volumes

pytestmark = pytest.mark.virtual_time


class Slow(Settled):
    """A kind that counts."""

    plugin = "test~slow"

    def __init__(self) -> None:
        self.made, self.refreshed, self.given_back = 0, 0, 0
        self.fault: OSError | None = None
        self.pause: asyncio.Event | None = None

    async def setup(self, volume: Volume) -> Mounted:
        if self.pause is not None:
            await self.pause.wait()
        self.made += 1
        if self.fault is not None:
            raise self.fault
        volume.directory.mkdir(parents=True, exist_ok=True)
        return Mounted(str(volume.directory), read_only=True, sub_paths=False)

    async def refresh(self, volume: Volume) -> None:
        self.refreshed += 1

    async def teardown(self, uid: str) -> None:
        self.given_back += 1


class Rig:
    def __init__(self, root: Path) -> None:
        self.root, self.mounter, self.slow = root, FakeMounter(), Slow()
        self.volumes = self.fresh()

    def fresh(self) -> Volumes:
        """As after a restart of the process."""
        kinds = {"emptyDir": EmptyDir(self.mounter, dict), "slow": self.slow}
        return Volumes(self.root, kinds, self.mounter)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def pod(*mounts: Obj, **more: Obj) -> Obj:
    volumes = [{"name": "e", "emptyDir": {}}, {"name": "s", "slow": {}}, {"name": "u", "unknown": {}}]
    container = {"name": "c", "volumeMounts": list(mounts)}
    spec = {"containers": [container], "volumes": volumes, **more}
    return {"metadata": {"name": "p", "namespace": "n", "uid": "uid"}, "spec": spec}


def at(name: str, **more: object) -> Obj:
    return {"name": name, "mountPath": f"/{name}", **more}


async def mounted(rig: Rig, owner: Obj) -> list[tuple[str, bool]]:
    container = owner["spec"]["containers"][0]
    found = await rig.volumes.mounts(owner, container, {"A": "x"})
    return [(mount.source.removeprefix(str(rig.root)), mount.read_only) for mount in found]


async def test_only_what_is_used_is_made(rig: Rig) -> None:
    await rig.volumes.setup(pod(at("e")))
    assert (rig.root / "uid/volumes.d/kubernetes.io~empty-dir/e").is_dir()
    assert rig.slow.made == 0


async def test_init_and_ephemeral_containers_and_devices_count(rig: Rig) -> None:
    device = {"name": "x", "volumeDevices": [{"name": "s", "devicePath": "/dev/x"}]}
    for group in ("initContainers", "ephemeralContainers"):
        await rig.volumes.setup(pod(**{group: [device]}))
    assert rig.slow.made == 2


async def test_a_file_in_a_volume_is_read_even_if_nobody_mounts_it(rig: Rig) -> None:
    owner = pod()
    assert await rig.volumes.read(owner, "e", "env") is None
    directory = rig.root / "uid/volumes.d/kubernetes.io~empty-dir/e"
    (directory / "env").write_text("A='1'")
    assert await rig.volumes.read(owner, "e", "env") == "A='1'"
    (directory / "out").symlink_to("/etc/passwd")
    with pytest.raises(VolumeFault, match='cannot read "out" in volume "e"'):
        await rig.volumes.read(owner, "e", "out")


async def test_mounts(rig: Rig) -> None:
    owner = pod(at("e"), at("s"), at("e", subPath="a"), at("e", subPathExpr="$(A)/y", readOnly=True))
    await rig.volumes.setup(owner)
    assert await mounted(rig, owner) == [
        ("/uid/volumes.d/kubernetes.io~empty-dir/e", False),
        ("/uid/volumes.d/test~slow/s", True),
        ("/uid/subpaths.d/e/c/2", False),
        ("/uid/subpaths.d/e/c/3", True),
    ]
    assert sorted(target.removeprefix(str(rig.root)) for target in rig.mounter.binds.values()) == [
        "/uid/volumes.d/kubernetes.io~empty-dir/e/a",
        "/uid/volumes.d/kubernetes.io~empty-dir/e/x/y",
    ]
    assert rig.slow.made == 1


async def test_after_a_restart_a_container_finds_its_volumes_again(rig: Rig) -> None:
    owner = pod(at("s"))
    await rig.volumes.setup(owner)
    rig.volumes = rig.fresh()
    assert await mounted(rig, owner) == [("/uid/volumes.d/test~slow/s", True)]
    assert rig.slow.made == 2


async def test_a_sub_path_that_was_a_directory_and_is_a_file(rig: Rig) -> None:
    owner = pod(at("e", subPath="a"))
    await rig.volumes.setup(owner)
    await mounted(rig, owner)
    place = rig.root / "uid/volumes.d/kubernetes.io~empty-dir/e/a"
    place.rmdir()
    place.touch()
    assert await mounted(rig, owner) == [("/uid/subpaths.d/e/c/0", False)]
    assert (rig.root / "uid/subpaths.d/e/c/0").is_file()


@pytest.mark.parametrize(
    ("mount", "fault", "complaint"),
    [
        (at("none"), VolumeFault, 'volume "none" is not in the Pod'),
        (at("s", subPath="a"), SubPathFault, 'failed to prepare subPath "a": no such file or directory'),
        (at("e", subPathExpr="$(B)"), SubPathFault, "missing value for B"),
        (at("u"), VolumeFault, "no volume plugin matched: unknown"),
    ],
)
async def test_faults(rig: Rig, mount: Obj, fault: type[Exception], complaint: str) -> None:
    with pytest.raises(fault) as caught:
        await mounted(rig, pod(mount))
    assert str(caught.value) == complaint


async def test_a_full_disk_says_so(rig: Rig) -> None:
    rig.slow.fault = OSError(28, "No space left on device", "/x")
    with pytest.raises(VolumeFault) as caught:
        await rig.volumes.setup(pod(at("s")))
    assert (caught.value.volume, caught.value.message) == ("s", "no space left on device: /x")
    rig.slow.fault = None
    await rig.volumes.setup(pod(at("s")))


async def test_refresh_is_for_what_was_made(rig: Rig) -> None:
    owner = pod(at("s"))
    await rig.volumes.refresh(owner)
    assert rig.slow.refreshed == 0
    await rig.volumes.setup(owner)
    await rig.volumes.refresh(owner)
    assert rig.slow.refreshed == 1


async def test_one_volume_that_cannot_be_refreshed_does_not_hold_up_the_others(rig: Rig) -> None:
    owner = pod(at("e"), at("s"))
    await rig.volumes.setup(owner)

    async def fault(volume: Volume) -> None:
        raise OSError(28, "No space left on device")

    rig.volumes._kinds["emptyDir"].refresh = fault  # type: ignore[method-assign]
    with pytest.raises(VolumeFault, match="no space left"):
        await rig.volumes.refresh(owner)
    assert rig.slow.refreshed == 1


async def test_everything_goes(rig: Rig) -> None:
    owner = pod(at("e"), at("s"), at("e", subPath="a"))
    await rig.volumes.setup(owner)
    await mounted(rig, owner)
    for _ in range(2):
        await rig.volumes.teardown("uid")
    assert list((rig.root / "uid").iterdir()) == []
    assert not rig.mounter.binds
    assert rig.slow.given_back == 2


async def test_usage_is_of_the_disk_alone(rig: Rig) -> None:
    owner = pod(at("e"), at("s"))
    await rig.volumes.setup(owner)
    (rig.root / "uid/volumes.d/kubernetes.io~empty-dir/e/f").write_bytes(b"x" * 10_000)
    (rig.root / "uid/etc.hosts").write_bytes(b"x" * 10_000)
    found = rig.volumes.usage(owner)
    assert set(found) == {"e", "etc.hosts", "resolv.conf"}
    assert found["etc.hosts"].bytes >= 10_000
    assert found["resolv.conf"].bytes == 0
    assert found["e"].bytes >= 10_000
    assert found["e"].inodes == 2


async def test_one_fault_leaves_nothing_being_made(rig: Rig) -> None:
    """Whoever hears of it may tear everything down at once."""
    rig.slow.pause = asyncio.Event()
    setup = asyncio.create_task(rig.volumes.setup(pod(at("s"), at("u"))))
    await asyncio.sleep(0.01)
    assert not setup.done()
    rig.slow.pause.set()
    with pytest.raises(VolumeFault, match="no volume plugin matched"):
        await setup
    assert rig.slow.made == 1


async def test_a_pod_that_ends_does_not_wait_for_its_volumes(rig: Rig) -> None:
    rig.slow.pause = asyncio.Event()
    setup = asyncio.create_task(rig.volumes.setup(pod(at("e"), at("s"))))
    await asyncio.sleep(0.01)
    rig.volumes.abandon("uid")
    with pytest.raises(VolumeFault, match="given up, for the Pod is to end"):
        await setup
    assert rig.slow.made == 0


async def test_a_cancelled_setup_makes_nothing_more(rig: Rig) -> None:
    rig.slow.pause = asyncio.Event()
    setup = asyncio.create_task(rig.volumes.setup(pod(at("s"))))
    await asyncio.sleep(0.01)
    setup.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setup
    rig.slow.pause.set()
    await asyncio.sleep(0)
    assert rig.slow.made == 0
