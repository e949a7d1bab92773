"""The processes of further nodes: real ones, that do nothing but hold a lock."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sampan.api import bootstraptoken
from sampan.api.resources import NODES, SECRETS
from sampan.apiserver import pki
from sampan.cli import fleet
from sampan.cli.cluster import Cluster
from sampan.cli.credentials import Pair
from sampan.cli.errors import UserError
from sampan.cli.fleet import Fleet
from sampan.client.client import Client
from sampan.client.fake import FakeTransport

HOLD = """
import fcntl, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
lock = os.open(sys.argv[1] + "/lock", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
os.ftruncate(lock, 0)
os.pwrite(lock, f"{os.getpid()}\\n".encode(), 0)
while True:
    signal.pause()
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    def command(place: Cluster, server: str, ca_hash: str, token: Path | None) -> list[str]:
        return [sys.executable, "-c", HOLD, str(place.data)]

    monkeypatch.setattr(fleet, "command", command)
    cluster = Cluster("one", tmp_path)
    yield cluster
    for place in cluster.node_places:
        assert fleet.stop(place)


async def pid_of(place: Cluster, other_than: int = 0) -> int:
    for _ in range(6000):
        pid = place.running_pid() if (place.data / "lock").exists() else None
        if pid and pid != other_than:
            return pid
        await asyncio.sleep(0.01)
    raise AssertionError("no process came")


@asynccontextmanager
async def running(cluster: Cluster, server: str = "https://a"):
    made = Fleet(cluster, Client(FakeTransport()), server, "sha256:0")
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_directory_has_a_process_and_all_end_when_told_so(cluster: Cluster) -> None:
    one, two = fleet.add_places(cluster, 3)
    async with running(cluster):
        pids = [await pid_of(one), await pid_of(two)]
        assert pids[0] != pids[1]
    assert [one.running_pid(), two.running_pid()] == pids, "they outlive whoever dies of a bug"
    await Fleet(cluster, Client(FakeTransport()), "https://a", "").end()
    assert [place.running_pid() for place in (one, two)] == [None, None]


async def test_one_that_dies_is_followed_by_another(cluster: Cluster) -> None:
    (place,) = fleet.add_places(cluster, 2)
    async with running(cluster):
        first = await pid_of(place)
        os.kill(first, signal.SIGKILL)
        await pid_of(place, other_than=first)


async def test_one_more_is_started_when_somebody_says_so(cluster: Cluster) -> None:
    async with running(cluster) as made:
        await asyncio.sleep(0)
        (place,) = fleet.add_places(cluster, 2)
        made.look()
        await pid_of(place)


async def test_a_process_that_is_there_is_taken_over_and_followed_too(cluster: Cluster) -> None:
    (place,) = fleet.add_places(cluster, 2)
    process = await asyncio.create_subprocess_exec(*fleet.command(place, "", "", None))
    first = await pid_of(place)
    (place.data / fleet.SERVER).write_text("https://a")
    async with running(cluster):
        await asyncio.sleep(0.05)
        assert place.running_pid() == first
        os.kill(first, signal.SIGKILL)
        await process.wait()
        await pid_of(place, other_than=first)


async def test_a_process_that_knows_another_way_to_the_api_is_replaced(cluster: Cluster) -> None:
    (place,) = fleet.add_places(cluster, 2)
    process = await asyncio.create_subprocess_exec(*fleet.command(place, "", "", None))
    first = await pid_of(place)
    (place.data / fleet.SERVER).write_text("https://before")
    async with running(cluster):
        await pid_of(place, other_than=first)
        assert await process.wait() == 0


async def test_who_leaves_is_not_revived(cluster: Cluster) -> None:
    (place,) = fleet.add_places(cluster, 2)
    async with running(cluster):
        first = await pid_of(place)
        (place.data / fleet.LEAVING).touch()
        assert await asyncio.to_thread(fleet.stop, place)
        await fleet.gone(first)
        assert place.running_pid() is None


def test_names_that_are_free_are_taken_lowest_first(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    assert [place.name for place in fleet.add_places(cluster, 3)] == ["one-2", "one-3"]
    assert fleet.add_places(cluster, 3) == []
    (tmp_path / "nodes" / "one-2").rmdir()
    assert [place.name for place in fleet.add_places(cluster, 4)] == ["one-2", "one-4"]


def test_the_token_is_on_no_command_line(tmp_path: Path) -> None:
    place = Cluster("one-2", tmp_path)
    words = fleet.command(place, "https://a", "sha256:0", tmp_path / "token")
    assert words[1:] == [
        *("-m", "sampan", "node", "join", "https://a", "--ca-hash", "sha256:0"),
        *("--name", "one-2", "--data-dir", str(tmp_path), "--token-file", str(tmp_path / "token")),
        "--foreground",
    ]


async def test_a_token_is_made_for_who_needs_one_and_forgotten_when_he_has_joined(cluster: Cluster) -> None:
    (place,) = fleet.add_places(cluster, 2)
    fake = FakeTransport()
    made = Fleet(cluster, Client(fake), "https://a", "sha256:0")
    path = await made._token(place)
    assert path is not None and path.stat().st_mode & 0o777 == 0o600
    (secret,) = fake.objects(SECRETS)
    data = bootstraptoken.entries(secret)
    assert path.read_text() == f"{data['token-id']}.{data['token-secret']}\n"
    await fleet.forget_tokens(Client(fake), [place])
    assert fake.objects(SECRETS) == [] and not path.exists()
    good = pki.load_or_create(cluster.data / "pki").certificate("admin").read_bytes()
    Pair(place.pki / "client.pem").keep(good, b"")
    assert await made._token(place) is None


async def test_all_are_awaited() -> None:
    def node(name: str, ready: str) -> dict[str, object]:
        conditions = [{"type": "Ready", "status": ready}]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name},
            "status": {"conditions": conditions},
        }

    fake = FakeTransport(node("a", "True"), node("b", "False"))
    waiting = asyncio.create_task(fleet.all_ready(Client(fake), ["a", "b"], {}))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await Client(fake).patch(NODES, "b", ready, subresource="status")
    await asyncio.wait_for(waiting, 30)


@pytest.mark.parametrize(
    ("status", "heard", "said"),
    [
        ("True", "1970-01-01T00:01:40Z", True),
        ("True", "1970-01-01T00:01:39Z", False),
        ("False", "1970-01-01T00:01:41Z", False),
        ("True", None, False),
    ],
)
def test_what_an_earlier_process_said_does_not_count(status: str, heard: str | None, said: bool) -> None:
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": heard}
    assert fleet.says_ready({"status": {"conditions": [ready]}}, 100) is said


def test_how_many_nodes_are_asked_for(tmp_path: Path) -> None:
    cluster = Cluster("one", tmp_path)
    assert fleet.asked_count(cluster, None) == 1
    assert fleet.asked_count(cluster, 3) == 3
    for name in ("one-2", "one-3"):
        cluster.node_place(name).data.mkdir(parents=True)
    assert fleet.asked_count(cluster, None) == 3
    with pytest.raises(UserError, match="nothing says which of them should go") as caught:
        fleet.asked_count(cluster, 2)
    assert "`sampan node rm NAME` takes one away (there are one-2, one-3)" in caught.value.do
    for wrong in (0, -1, 33):
        with pytest.raises(UserError, match="is not between 1 and 32"):
            fleet.asked_count(cluster, wrong)


async def test_what_keeps_a_node_from_starting_passes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place,) = fleet.add_places(cluster, 2)
    failures = [OSError("no space left on device")]
    start = fleet._start

    def once_not(argv: list[str], log: Path) -> int:
        if failures:
            raise failures.pop()
        return start(argv, log)

    monkeypatch.setattr(fleet, "_start", once_not)
    async with running(cluster):
        await pid_of(place)
    assert not failures
