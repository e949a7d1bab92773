from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.kubelet.network import namespace
from sampan.kubelet.network.contract import NetworkFault
from sampan.kubelet.network.namespace import PinnedNamespace, Traveller

pytestmark = pytest.mark.root


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[list[Path]]:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        namespace.create(path)
    yield paths
    for path in paths:
        namespace.unpin(path)


@pytest.fixture
def traveller() -> Iterator[Traveller]:
    made = Traveller()
    yield made
    made.close()


def test_create_pins_a_new_namespace_and_unpin_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pin"
    assert not namespace.is_pinned(path)
    mine = Path("/proc/self/ns/net").stat().st_ino
    namespace.create(path)
    assert namespace.is_pinned(path)
    assert path.stat().st_ino != mine
    assert Path("/proc/thread-self/ns/net").stat().st_ino == mine
    namespace.unpin(path)
    namespace.unpin(path)
    assert not path.exists()
    assert str(path) not in Path("/proc/self/mounts").read_text()


async def test_sockets_live_where_they_were_asked_for(pins: list[Path], traveller: Traveller) -> None:
    listener = await PinnedNamespace(str(pins[0]), traveller).socket(socket.AF_UNIX, socket.SOCK_STREAM)
    assert not listener.getblocking()
    listener.bind("\0only-here")  # abstract names belong to the network namespace
    listener.listen()
    here = await traveller.socket(pins[0], socket.AF_UNIX, socket.SOCK_STREAM)
    here.connect("\0only-here")
    elsewhere = await traveller.socket(pins[1], socket.AF_UNIX, socket.SOCK_STREAM)
    with pytest.raises(ConnectionRefusedError):
        elsewhere.connect("\0only-here")
    for sock in (listener, here, elsewhere):
        sock.close()


async def test_socket_of_the_wrong_namespace_is_fenced_off(pins: list[Path], traveller: Traveller) -> None:
    with socket.socket() as foreign:
        with pytest.raises(NetworkFault, match="was opened in"):
            await traveller.run(pins[0], lambda: traveller.fence(foreign))
        assert foreign.fileno() == -1


async def test_detour_comes_back_also_after_an_error(pins: list[Path], traveller: Traveller) -> None:
    inodes: list[int] = []

    def here() -> None:
        inodes.append(Path("/proc/thread-self/ns/net").stat().st_ino)

    def work() -> None:
        here()
        with pytest.raises(ValueError, match="x"), traveller.detour(pins[1]):
            here()
            raise ValueError("x")
        here()

    await traveller.run(pins[0], work)
    one, two = (pin.stat().st_ino for pin in pins)
    assert inodes == [one, two, one]


async def test_no_namespace_there(tmp_path: Path, traveller: Traveller) -> None:
    with pytest.raises(NetworkFault, match="no network namespace at"):
        await traveller.socket(tmp_path / "gone", socket.AF_INET, socket.SOCK_STREAM)


async def test_event_loop_stays_in_its_namespace(pins: list[Path], traveller: Traveller) -> None:
    before = Path("/proc/thread-self/ns/net").stat().st_ino
    made = await asyncio.gather(
        *(traveller.socket(pin, socket.AF_INET, socket.SOCK_DGRAM) for pin in pins * 5)
    )
    for sock in made:
        sock.close()
    assert Path("/proc/thread-self/ns/net").stat().st_ino == before
