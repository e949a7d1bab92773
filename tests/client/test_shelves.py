from __future__ import annotations

import asyncio

import pytest

from sampan.api.errors import StatusError
from sampan.api.objects import Obj
from sampan.api.request import Request
from sampan.api.resources import CONFIG_MAPS, PODS
from sampan.client.shelves import Shelves, seen_by

pytestmark = pytest.mark.virtual_time


def pod(**labels: str) -> Obj:
    return {"kind": "Pod", "metadata": {"name": "a", "namespace": "ns", "labels": labels}}


@pytest.fixture
def shelves() -> Shelves:
    return Shelves()


def test_every_change_has_the_next_revision(shelves: Shelves) -> None:
    first = shelves.put(PODS, None, pod())
    second = shelves.put(PODS, first, pod(app="web"))
    shelves.drop(PODS, second)
    revisions = [int(obj["metadata"]["resourceVersion"]) for obj in (first, second)]
    assert revisions == [1, 2] and shelves.revision == 3
    assert [change.revision for change in shelves.since(1)] == [2, 3]
    assert shelves.of(PODS) == {}


def test_what_was_forgotten_is_gone(shelves: Shelves) -> None:
    shelves.put(PODS, None, pod())
    shelves.compact()
    assert shelves.since(1) == []
    with pytest.raises(StatusError) as caught:
        shelves.since(0)
    assert caught.value.code == 410


# What a watch with the selector app=web sees of a Pod whose labels change from the first to the second.
@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        (None, pod(app="web"), "ADDED"),
        (pod(), pod(app="web"), "ADDED"),
        (pod(app="web"), pod(app="web", more="x"), "MODIFIED"),
        (pod(app="web"), pod(), "DELETED"),
        (pod(app="web"), None, "DELETED"),
        (pod(), pod(more="x"), None),
        (None, pod(), None),
    ],
)
def test_a_watch_sees_what_enters_and_leaves_its_selection(
    shelves: Shelves, before: Obj | None, after: Obj | None, seen: str | None
) -> None:
    old = shelves.put(PODS, None, before) if before is not None else None
    if after is not None:
        shelves.put(PODS, old, after)
    elif old is not None:
        shelves.drop(PODS, old)
    change = shelves.since(0)[-1]
    event = seen_by(Request("watch", PODS, "ns", params={"labelSelector": "app=web"}), change)
    assert (event.type if event else None) == seen
    assert seen_by(Request("watch", CONFIG_MAPS, "ns"), change) is None
    assert seen_by(Request("watch", PODS, "other"), change) is None


async def test_who_waits_is_woken_by_the_next_change(shelves: Shelves) -> None:
    waiting = asyncio.create_task(shelves.grown.wait())
    await asyncio.sleep(0)
    shelves.put(PODS, None, pod())
    assert await waiting
    assert not shelves.grown.is_set()


def test_who_writes_to_a_shared_object_is_found_out(shelves: Shelves) -> None:
    first = shelves.put(PODS, None, pod())
    second = shelves.put(PODS, first, pod(app="web"))
    first["metadata"]["name"] = "superseded: anybody's"
    shelves.check_unwritten()
    second["metadata"]["labels"]["app"] = "other"
    with pytest.raises(AssertionError, match="somebody wrote to a shared object: Pod ns/a"):
        shelves.check_unwritten()
