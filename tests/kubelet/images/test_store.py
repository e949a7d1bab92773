"""Images from layouts, archives and a real registry on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from harness.registry import PASSWORD, USER, push, serve
from sampan.kubelet.images.collection import CollectionConfig, ImageCollector, Room
from sampan.kubelet.images.contract import ImageFault
from sampan.kubelet.images.store import ImageStore

pytestmark = pytest.mark.root

CONFIG = {"Cmd": ["sh"], "Entrypoint": ["/bin/x"], "Env": ["A=b"], "User": "alice", "WorkingDir": "/w"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Opens to alice only."""
    with serve(tmp_path_factory.mktemp("private"), private=True) as address:
        yield address


def sh(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def small(tmp_path: Path, busybox: ModuleType) -> Path:
    """A layout with one image of two layers."""
    layers = [busybox.layer({"etc": None, "etc/one": b"1"}), busybox.layer({"etc": None, "etc/two": b"2"})]
    busybox.layout(tmp_path / "small", layers, tag="small:1", **CONFIG)
    return tmp_path / "small"


async def opened(path: Path, mirrors: dict[str, str] | None = None) -> ImageStore:
    store = ImageStore(path, mirrors or {})
    await store.open()
    return store


async def test_a_layout_becomes_an_image(tmp_path: Path, small: Path) -> None:
    store = await opened(tmp_path / "store")
    assert store.find("small:1") is None
    (image,) = await store.load(str(small))
    assert image == store.find("docker.io/library/small:1")
    assert (image.cmd, image.entrypoint, image.env) == (("sh",), ("/bin/x",), ("A=b",))
    assert (image.user, image.working_dir) == ("alice", "/w")
    assert image.size_bytes > 0
    top, bottom = (Path(path) for path in image.lower_dirs)
    assert (top / "etc/two").read_text() + (bottom / "etc/one").read_text() == "21"
    assert await opened(tmp_path / "store") and (await opened(tmp_path / "store")).listing() == [image]
    assert store.find(f"small@{image.digest}") == image


async def test_a_name_can_be_given(tmp_path: Path, small: Path) -> None:
    store = await opened(tmp_path / "store")
    await store.load(str(small), "other:2")
    assert [image.reference for image in store.listing()] == ["docker.io/library/other:2"]


async def test_archives_of_both_kinds(tmp_path: Path, small: Path) -> None:
    store = await opened(tmp_path / "store")
    oci, docker = tmp_path / "oci.tar", tmp_path / "docker.tar"
    with tarfile.open(oci, "w") as tar:
        tar.add(small, ".")
    sh("skopeo", "copy", "-q", f"oci:{small}", f"docker-archive:{docker}:small:3")
    await store.load(str(oci))
    (image,) = await store.load(str(docker))
    assert [found.reference.rpartition("/")[2] for found in store.listing()] == ["small:1", "small:3"]
    assert image.lower_dirs == store.listing()[0].lower_dirs
    assert image.user == "alice"


@pytest.mark.parametrize("broken", ["missing", "damaged", "nothing", "garbage"])
async def test_what_is_no_image_is_refused_whole(tmp_path: Path, small: Path, broken: str) -> None:
    store = await opened(tmp_path / "store")
    blobs = sorted((small / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    source = small
    if broken == "missing":
        blobs[0].unlink()
    elif broken == "damaged":
        blobs[0].write_bytes(blobs[0].read_bytes()[::-1])
    elif broken == "nothing":
        source = tmp_path / "nowhere.tar"
    else:
        source = tmp_path / "garbage.tar"
        source.write_bytes(b"garbage")
    with pytest.raises(ImageFault) as caught:
        await store.load(str(source))
    assert caught.value.reason == "ErrImagePull"
    assert caught.value.message.startswith(f"failed to load {source}: ")
    assert list(store.listing()) == []
    assert list((tmp_path / "store/tmp").iterdir()) == []


async def test_a_pull_by_mirror(tmp_path: Path, small: Path, registry: str) -> None:
    push(small, registry, "library/web:1")
    store = await opened(tmp_path / "store", {"docker.io": f"http://{registry}"})
    first, second = await asyncio.gather(store.pull("web:1"), store.pull("docker.io/library/web:1"))
    assert first is second
    assert first.reference == "docker.io/library/web:1"
    assert await store.pull("web:1") == first
    by_digest = await store.pull(f"web@{first.digest}")
    assert by_digest.lower_dirs == first.lower_dirs
    assert list((tmp_path / "store/tmp").iterdir()) == []


async def test_a_moved_tag_is_followed(
    tmp_path: Path, small: Path, registry: str, busybox: ModuleType
) -> None:
    store = await opened(tmp_path / "store", {"docker.io": f"http://{registry}"})
    push(small, registry, "library/moving:1")
    before = await store.pull("moving:1")
    busybox.layout(tmp_path / "new", [busybox.layer({"new": b"n"})])
    push(tmp_path / "new", registry, "library/moving:1")
    after = await store.pull("moving:1")
    assert after.digest != before.digest
    assert store.find("moving:1") == after


async def test_a_missing_image_is_named(tmp_path: Path, registry: str) -> None:
    store = await opened(tmp_path / "store", {"docker.io": f"http://{registry}"})
    with pytest.raises(ImageFault) as caught:
        await store.pull("nope")
    assert caught.value.reason == "ErrImagePull"
    name = "docker.io/library/nope:latest"
    assert caught.value.message == f'failed to pull and unpack image "{name}": {name}: not found'
    with pytest.raises(ImageFault) as caught:
        await store.pull("Nope")
    assert caught.value.reason == "InvalidImageName"


async def test_a_registry_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    store = await opened(tmp_path / "store", {"docker.io": f"http://{address}"})
    with pytest.raises(ImageFault, match=f"dial tcp {address}: connect: connection refused"):
        await store.pull("nginx")


async def test_what_no_name_leads_to_is_deleted(tmp_path: Path, small: Path, busybox: ModuleType) -> None:
    store = await opened(tmp_path / "store")
    shared = busybox.layer({"etc": None, "etc/one": b"1"})
    busybox.layout(tmp_path / "other", [shared], tag="other:1")
    await store.load(str(small))
    (other,) = await store.load(str(tmp_path / "other"))
    await store.remove("small:1")
    assert [Path(path).name for path in other.lower_dirs] == [
        p.name for p in (tmp_path / "store/l").iterdir()
    ]
    assert len(list((tmp_path / "store/blobs/sha256").iterdir())) == 3
    await store.remove("other:1")
    await store.remove("other:1")
    assert list((tmp_path / "store/l").iterdir()) == list((tmp_path / "store/blobs/sha256").iterdir()) == []


async def test_layers_under_a_container_stay(tmp_path: Path, small: Path) -> None:
    store = await opened(tmp_path / "store")
    (image,) = await store.load(str(small))
    merged = tmp_path / "merged"
    merged.mkdir()
    lower = ":".join(image.lower_dirs)
    sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower}", str(merged))
    try:
        await store.remove("small:1")
        assert (merged / "etc/one").read_text() == "1"
    finally:
        sh("umount", str(merged))
    await asyncio.to_thread(store.collect)
    assert list((tmp_path / "store/l").iterdir()) == []


async def test_stores_of_several_processes_agree(tmp_path: Path, small: Path) -> None:
    one, two = await opened(tmp_path / "store"), await opened(tmp_path / "store")
    await one.load(str(small))
    assert two.find("small:1") is not None
    await asyncio.gather(
        two.load(str(small), "a:1"), one.load(str(small), "b:1"), two.load(str(small), "c:1")
    )
    assert len(one.listing()) == len(two.listing()) == 4
    await two.remove("small:1")
    assert one.find("small:1") is None


def secret(host: str, user: str = USER, password: str = PASSWORD) -> dict[str, object]:
    """A `.dockerconfigjson`."""
    return {"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}}


async def test_a_private_image_is_for_those_with_its_credentials(
    tmp_path: Path, small: Path, private: str
) -> None:
    push(small, private, "team/app:1", private=True)
    store = await opened(tmp_path / "store", {"private.test": f"http://{private}"})
    name = "private.test/team/app:1"
    with pytest.raises(ImageFault, match=r"pull access denied, .* authentication required") as caught:
        await store.pull(name)
    assert caught.value.reason == "ErrImagePull"
    with pytest.raises(ImageFault, match="pull access denied"):
        await store.pull(name, auth=[secret("private.test", password="wrong")])
    with pytest.raises(ImageFault, match="pull access denied"):
        await store.pull(name, auth=[secret("other.test")])
    auth = [secret("private.test", password="wrong"), secret("private.test/team")]
    image = await store.pull(name, auth=auth)
    assert len(image.guards) == 1 and store.find(name) == image
    # The image is here, and still the registry is asked who else may have it.
    with pytest.raises(ImageFault, match="pull access denied"):
        await store.pull(name)
    assert (tmp_path / "store/images.json").stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in (tmp_path / "store/images.json").read_text()
    assert list((tmp_path / "store/tmp").iterdir()) == []


async def test_the_nodes_credentials_are_for_every_pod(
    tmp_path: Path, small: Path, private: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(small, private, "team/node:1", private=True)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps(secret("private.test")))
    monkeypatch.setenv("HOME", str(tmp_path))
    store = await opened(tmp_path / "store", {"private.test": f"http://{private}"})
    image = await store.pull("private.test/team/node:1", auth=[secret("private.test", password="wrong")])
    assert image.guards == ()


async def test_a_public_image_needs_no_guard(tmp_path: Path, small: Path, registry: str) -> None:
    push(small, registry, "library/free:1")
    store = await opened(tmp_path / "store", {"docker.io": f"http://{registry}"})
    auth = [secret("docker.io")]
    assert (await store.pull("free:1", auth=auth)).guards != ()
    assert (await store.pull("free:1")).guards == ()
    assert (await store.pull("free:1", auth=auth)).guards == ()


async def test_a_spoilt_blob_is_fetched_anew(tmp_path: Path, small: Path, registry: str) -> None:
    push(small, registry, "library/spoilt:1")
    blobs = tmp_path / "store/blobs/sha256"
    for spoil in (lambda data: data[: len(data) // 2], lambda data: data[::-1], lambda data: b""):
        store = await opened(tmp_path / "store", {"docker.io": f"http://{registry}"})
        good = await store.pull("spoilt:1")
        assert len(list(blobs.iterdir())) == 4
        kept = {path: path.read_bytes() for path in blobs.iterdir()}
        (tmp_path / "store/images.json").unlink()
        for layer in (tmp_path / "store/l").iterdir():
            shutil.rmtree(layer)
        for path, data in kept.items():
            path.write_bytes(spoil(data))
            assert await store.pull("spoilt:1") == good, path
            assert path.read_bytes() == data
            (tmp_path / "store/images.json").unlink()
            for layer in (tmp_path / "store/l").iterdir():
                shutil.rmtree(layer)


async def test_only_root_enters(tmp_path: Path, small: Path) -> None:
    store = await opened(tmp_path / "store")
    await store.load(str(small))
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


async def test_what_a_killed_pull_left_is_gone_at_the_next_start(tmp_path: Path, small: Path) -> None:
    (tmp_path / "store/tmp/pull-x").mkdir(parents=True)
    (tmp_path / "store/tmp/tmpy/layer").mkdir(parents=True)
    (tmp_path / "store/tmp/blob").write_bytes(b"half")
    await opened(tmp_path / "store")
    assert list((tmp_path / "store/tmp").iterdir()) == []


async def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, registry: str, busybox: ModuleType
) -> None:
    noise = os.urandom(6 << 20)
    busybox.layout(tmp_path / "big", [busybox.layer({"noise": noise})])
    push(tmp_path / "big", registry, "library/big:1")
    disk = tmp_path / "disk"
    disk.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk))
    try:
        store = await opened(disk / "store", {"docker.io": f"http://{registry}"})
        with pytest.raises(ImageFault, match=r"(?i)no space left on device"):
            await store.pull("big:1")
        assert store.listing() == []
        for name in ("tmp", "l", "blobs/sha256"):
            assert list((disk / "store" / name).iterdir()) == []
        sh("mount", "-o", "remount,size=64m", str(disk))
        assert (await store.pull("big:1")).size_bytes > len(noise)
    finally:
        sh("umount", str(disk))


async def test_what_is_used_or_wanted_is_not_unused(tmp_path: Path, small: Path) -> None:
    store = await opened(tmp_path / "store")
    for name in ("one:1", "two:1", "three:1"):
        await store.load(str(small), name)
    assert len(store.unused(())) == 3
    named = ["docker.io/library/one:1", "Bad Name", f"two@{store.listing()[1].digest}"]
    assert [image.reference for image in store.unused(named)] == ["docker.io/library/three:1"]
    merged = tmp_path / "merged"
    merged.mkdir()
    lower = ":".join(store.listing()[0].lower_dirs)
    sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower}", str(merged))
    try:
        assert store.unused(()) == []
    finally:
        sh("umount", str(merged))


async def test_the_last_use_is_remembered(tmp_path: Path, small: Path) -> None:
    store = await opened(tmp_path / "store")
    await store.load(str(small))
    (before,) = store.unused(())
    await asyncio.sleep(0.01)
    store.find("small:1")
    assert store.unused(())[0].used_at_s > before.used_at_s
    store.remember_use()
    (after,) = (await opened(tmp_path / "store")).unused(())
    assert after.used_at_s > before.used_at_s == after.came_at_s


async def test_only_what_can_be_fetched_again_is_collected(
    tmp_path: Path, small: Path, registry: str
) -> None:
    """The real store under the real collector."""
    store = await opened(tmp_path / "store", {"docker.io": f"http://{registry}"})
    for name in ("wanted:1", "other:1"):
        push(small, registry, f"library/{name}")
        await store.pull(name)
    await store.load(str(small), "mine:1")
    config, said = CollectionConfig(minimum_age_s=0), list[str]()
    collector = ImageCollector(
        store,
        store.root,
        config,
        lambda: ["wanted:1"],
        lambda *words: said.append(words[0]),
        room=lambda _: Room(100, 1),
    )
    await collector.look()
    left = [image.reference.rpartition("/")[2] for image in store.listing()]
    assert sorted(left) == ["mine:1", "wanted:1"]
    assert said == ["FreeDiskSpaceFailed"]
    assert [image.reference for image in store.unused(["wanted:1"])] == ["docker.io/library/mine:1"]
