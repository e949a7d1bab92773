from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sampan.api import errors
from sampan.api.objects import Obj, key_of, mutable
from sampan.api.resources import NODES, PODS
from sampan.client import informer as informer_module
from sampan.client.client import Client
from sampan.client.errors import Unreachable
from sampan.client.fake import FakeTransport
from sampan.client.informer import Informer
from sampan.client.informers import Informers

pytestmark = pytest.mark.virtual_time


def pod(name: str, node: str = "", **labels: str) -> Obj:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}}


Heard = list[tuple[str | None, str | None]]


def name_and_node(obj: Obj | None) -> str | None:
    return None if obj is None else f"{obj['metadata']['name']}@{obj['spec']['nodeName']}"


def listen(informer: Informer) -> Heard:
    """What a handler hears, as `name@node`."""
    heard: Heard = []
    informer.subscribe(lambda old, new: heard.append((name_and_node(old), name_and_node(new))))
    return heard


@asynccontextmanager
async def running(informer: Informer) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(30):
            await informer.wait_synced()
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def settle() -> None:
    """Turns of the loop enough for every change to arrive."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(informer: Informer, condition: Callable[[], bool]) -> None:
    """Waits out the back-off after a stream has ended, for what the informer tells then."""
    reached = asyncio.Event()
    informer.subscribe(lambda old, new: reached.set() if condition() else None)
    async with asyncio.timeout(30):
        await reached.wait()


@pytest.fixture(params=[True, False], ids=["watchlist", "list+watch"])
def transport(request: pytest.FixtureRequest) -> FakeTransport:
    return FakeTransport(pod("a", "n1"), pod("b", "n2"), reads=True, watch_list=request.param)


async def test_synced_means_everything_is_there(transport: FakeTransport) -> None:
    informer = Informer(Client(transport), PODS)
    assert not informer.synced
    async with running(informer):
        assert informer.keys() == ["default/a", "default/b"]
        assert informer.get("default/a") is transport.get(PODS, "a", "default")
        assert informer.get("default/c") is None


async def test_handlers_hear_of_everything_once_and_in_order(transport: FakeTransport) -> None:
    client = Client(transport)
    informer = Informer(client, PODS)
    early = listen(informer)
    async with running(informer):
        late = listen(informer)
        await client.create(PODS, pod("c"))
        await client.bind(pod("c"), "n3")
        await client.delete(PODS, "a", namespace="default")
        await settle()
    changes = [(None, "c@"), ("c@", "c@n3"), ("a@n1", None)]
    assert early == late == [(None, "a@n1"), (None, "b@n2"), *changes]


async def test_the_cache_has_changed_when_a_handler_hears(transport: FakeTransport) -> None:
    informer = Informer(Client(transport), PODS)
    seen: list[bool] = []

    def handler(old: Obj | None, new: Obj | None) -> None:
        key = key_of(new or old or {})
        seen.append(informer.get(key) is new)

    informer.subscribe(handler)
    async with running(informer):
        transport.remove(PODS, "a", "default")
        await settle()
    assert seen == [True, True, True]


async def test_a_failing_handler_is_logged_and_harms_nobody(
    transport: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    informer = Informer(Client(transport), PODS)

    def broken(old: Obj | None, new: Obj | None) -> None:
        raise RuntimeError("broken handler")

    informer.subscribe(broken)
    heard = listen(informer)
    async with running(informer):
        assert heard == [(None, "a@n1"), (None, "b@n2")]
    assert "broken handler" in caplog.text and "default/a" in caplog.text


async def test_indices_follow_every_change(transport: FakeTransport) -> None:
    informer = Informer(Client(transport), PODS)
    informer.add_index("node", lambda pod: [pod["spec"]["nodeName"]])
    async with running(informer):
        informer.add_index("name", lambda pod: [pod["metadata"]["name"]])
        assert [key_of(pod) for pod in informer.by_index("node", "n1")] == ["default/a"]
        assert [key_of(pod) for pod in informer.by_index("name", "b")] == ["default/b"]
        transport.add(pod("a", "n2"))
        transport.remove(PODS, "b", "default")
        await settle()
        assert informer.by_index("node", "n1") == []
        assert [key_of(pod) for pod in informer.by_index("node", "n2")] == ["default/a"]
        with pytest.raises(KeyError):
            informer.by_index("nothing", "")


async def test_a_stream_that_ends_is_resumed_where_it_ended(transport: FakeTransport) -> None:
    informer = Informer(Client(transport), PODS)
    heard = listen(informer)
    async with running(informer):
        transport.actions.clear()
        transport.end_watches()
        transport.add(pod("c"))
        await until(informer, lambda: len(heard) == 3)
    assert heard[2:] == [(None, "c@")]
    assert {action.verb for action in transport.actions} == {"watch"}


async def test_what_happened_in_a_gap_is_told_after_a_relist(transport: FakeTransport) -> None:
    informer = Informer(Client(transport), PODS)
    async with running(informer):
        heard = listen(informer)
        del heard[:]
        stays = informer.get("default/b")
        transport.end_watches()
        transport.remove(PODS, "a", "default")
        transport.add(pod("c"))
        transport.compact()
        await until(informer, lambda: len(heard) == 2)
        assert sorted(heard, key=str) == [("a@n1", None), (None, "c@")]
        assert informer.get("default/b") is stays
        assert sorted(informer.keys()) == ["default/b", "default/c"]


async def test_several_objects_that_vanish_in_one_gap_are_all_told(transport: FakeTransport) -> None:
    informer = Informer(Client(transport), PODS)
    async with running(informer):
        heard = listen(informer)
        del heard[:]
        transport.end_watches()
        transport.remove(PODS, "a", "default")
        transport.remove(PODS, "b", "default")
        transport.compact()
        await until(informer, lambda: len(heard) == 2)
        assert informer.keys() == []


async def test_an_object_replaced_in_a_gap_is_told_as_gone_and_come(transport: FakeTransport) -> None:
    informer = Informer(Client(transport), PODS)
    async with running(informer):
        heard = listen(informer)
        del heard[:]
        transport.end_watches()
        transport.remove(PODS, "a", "default")
        transport.add(pod("a", "n9"))
        transport.compact()
        await until(informer, lambda: len(heard) == 2)
    assert heard == [("a@n1", None), (None, "a@n9")]


@pytest.mark.parametrize(
    "error",
    [Unreachable("cut"), errors.unavailable("not now"), errors.internal("oops"), RuntimeError("a bug")],
    ids=str,
)
async def test_any_failure_is_logged_and_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    transport = FakeTransport(pod("a"))
    transport.fail("watch", "pods", error, times=2)
    informer = Informer(Client(transport), PODS)
    with caplog.at_level(logging.WARNING):
        async with running(informer):
            assert informer.keys() == ["default/a"]
    assert str(error) in caplog.text


async def test_an_expired_stream_starts_over() -> None:
    transport = FakeTransport(pod("a"))
    informer = Informer(Client(transport), PODS)
    async with running(informer):
        transport.fail("watch", "pods", errors.expired("too old resource version: 1 (9)"))
        transport.end_watches()
        transport.remove(PODS, "a", "default")
        await until(informer, lambda: informer.keys() == [])


async def test_filters_are_asked_of_the_server() -> None:
    transport = FakeTransport(pod("a", "n1", app="x"), pod("b", "n1", app="y"), pod("c", "n2", app="x"))
    informer = Informer(Client(transport), PODS, "default", "app=x", "spec.nodeName=n1")
    async with running(informer):
        assert informer.keys() == ["default/a"]
        moved = mutable(informer.list()[0])
        moved["metadata"]["labels"] = {"app": "z"}
        await Client(transport).update(PODS, moved)
        await settle()
        assert informer.keys() == []


async def test_long_lists_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer_module, "PAGE_SIZE", 2)
    transport = FakeTransport(*(pod(f"p{n}") for n in range(5)), watch_list=False, reads=True)
    informer = Informer(Client(transport), PODS)
    async with running(informer):
        assert len(informer.list()) == 5
    assert [action.verb for action in transport.actions].count("list") == 3


async def test_informers_are_shared_and_start_when_asked_for() -> None:
    transport = FakeTransport(
        pod("a", "n1"), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    )
    informers = Informers(Client(transport))
    pods = informers.informer(PODS)
    assert informers.informer(PODS) is pods
    assert informers.informer(PODS, field_selector="spec.nodeName=n1") is not pods
    task = asyncio.create_task(informers.run())
    async with asyncio.timeout(30):
        await informers.wait_synced()
        nodes = informers.informer(NODES)
        await informers.wait_synced()
    assert (pods.keys(), nodes.keys()) == (["default/a"], ["n1"])
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
