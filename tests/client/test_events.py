from __future__ import annotations

import asyncio

import pytest

from sampan.api import errors
from sampan.api.objects import Obj
from sampan.api.resources import EVENTS
from sampan.client import events as events_module
from sampan.client.client import Client
from sampan.client.errors import Unreachable
from sampan.client.events import NORMAL, WARNING, EventRecorder
from sampan.client.fake import FakeTransport

pytestmark = pytest.mark.virtual_time

POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "default", "uid": "u-1", "resourceVersion": "7"},
}


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def recorder(transport: FakeTransport) -> EventRecorder:
    return EventRecorder(Client(transport), "kubelet", "node-1")


async def test_an_event_as_kubectl_reads_it(transport: FakeTransport, recorder: EventRecorder) -> None:
    recorder.event(POD, WARNING, "Failed", "it did not work")
    await recorder.flush()
    (event,) = transport.objects(EVENTS)
    first, last = event.pop("firstTimestamp"), event.pop("lastTimestamp")
    metadata = event.pop("metadata")
    assert first == last and first.endswith("Z")
    assert metadata["namespace"] == "default"
    name, _, suffix = metadata["name"].partition(".")
    assert name == "a" and int(suffix, 16)
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "a",
            "namespace": "default",
            "uid": "u-1",
            "resourceVersion": "7",
        },
        "type": "Warning",
        "reason": "Failed",
        "message": "it did not work",
        "count": 1,
        "source": {"component": "kubelet", "host": "node-1"},
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
    }


async def test_what_is_said_again_is_counted(transport: FakeTransport, recorder: EventRecorder) -> None:
    for revision in "789":
        again = POD | {"metadata": POD["metadata"] | {"resourceVersion": revision}}
        recorder.event(again, NORMAL, "Pulled", "same")
        await recorder.flush()
    recorder.event(POD, NORMAL, "Pulled", "same")
    recorder.event(POD, NORMAL, "Pulled", "same")
    recorder.event(POD, NORMAL, "Pulled", "different")
    await recorder.flush()
    assert [(event["message"], event["count"]) for event in transport.objects(EVENTS)] == [
        ("same", 5),
        ("different", 1),
    ]
    assert [action.verb for action in transport.actions] == ["create", "patch", "patch", "patch", "create"]


async def test_an_expired_event_is_said_anew(transport: FakeTransport, recorder: EventRecorder) -> None:
    recorder.event(POD, NORMAL, "Pulled", "m")
    await recorder.flush()
    transport.remove(EVENTS, transport.objects(EVENTS)[0]["metadata"]["name"], "default")
    recorder.event(POD, NORMAL, "Pulled", "m")
    await recorder.flush()
    assert [event["count"] for event in transport.objects(EVENTS)] == [1]


async def test_events_of_cluster_scoped_objects_go_to_default(
    transport: FakeTransport, recorder: EventRecorder
) -> None:
    recorder.event({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}, NORMAL, "Ready", "m")
    await recorder.flush()
    assert transport.objects(EVENTS)[0]["metadata"]["namespace"] == "default"


async def test_a_namespace_that_is_gone_drops_the_event_and_not_the_next(
    transport: FakeTransport, recorder: EventRecorder
) -> None:
    transport.fail("create", "events", errors.forbidden(EVENTS, "a.1", "namespace is being terminated"))
    recorder.event(POD, NORMAL, "One", "m")
    recorder.event(POD, NORMAL, "Two", "m")
    await recorder.flush()
    assert [event["reason"] for event in transport.objects(EVENTS)] == ["Two"]


async def test_an_unreachable_server_is_asked_again(
    transport: FakeTransport, recorder: EventRecorder
) -> None:
    transport.fail("create", "events", Unreachable("cut"))
    recorder.event(POD, NORMAL, "One", "m")
    await recorder.flush()
    assert len(transport.objects(EVENTS)) == 1


async def test_what_waits_is_bounded(
    transport: FakeTransport, recorder: EventRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "PENDING_MOST", 3)
    for number in range(9):
        recorder.event(POD, NORMAL, "Many", str(number))
    await recorder.flush()
    assert len(transport.objects(EVENTS)) == 3


async def test_long_messages_end_at_a_character(transport: FakeTransport, recorder: EventRecorder) -> None:
    recorder.event(POD, NORMAL, "Long", "x" + "ä" * 2000)
    await recorder.flush()
    assert transport.objects(EVENTS)[0]["message"] == "x" + "ä" * 511


async def test_close_leaves_no_task(transport: FakeTransport, recorder: EventRecorder) -> None:
    recorder.event(POD, NORMAL, "One", "m")
    await recorder.close()
    assert len(asyncio.all_tasks()) == 1


async def test_an_event_about_a_part_names_it_and_counts_apart(
    transport: FakeTransport, recorder: EventRecorder
) -> None:
    for path in ("spec.containers{web}", "spec.containers{web}", "spec.containers{cache}", ""):
        recorder.event(POD, NORMAL, "Started", "m", field_path=path)
    await recorder.flush()
    said = [(event["involvedObject"].get("fieldPath"), event["count"]) for event in transport.objects(EVENTS)]
    assert said == [("spec.containers{web}", 2), ("spec.containers{cache}", 1), (None, 1)]
