from __future__ import annotations

from sampan.api.objects import Obj
from sampan.api.resources import EVENTS, IP_ADDRESSES
from sampan.apiserver.notices import Notices

OBJ: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "a", "namespace": "default", "uid": "u"},
}


async def told(api) -> list[Obj]:
    return [each for each in (await api.call("list", EVENTS))["items"] if each["reason"] == "Odd"]


async def test_the_same_said_again_is_counted(api) -> None:
    notices = Notices(api.transport, "tester")
    for _ in range(3):
        await notices.warn(OBJ, "Odd", "it is odd")
    await notices.warn(OBJ, "Odd", "it is odder")
    assert sorted((each["message"], each["count"]) for each in await told(api)) == [
        ("it is odd", 3),
        ("it is odder", 1),
    ]
    assert {each["source"]["component"] for each in await told(api)} == {"tester"}


async def test_an_event_that_has_expired_is_said_anew(api) -> None:
    notices = Notices(api.transport, "tester")
    await notices.warn(OBJ, "Odd", "it is odd")
    (event,) = await told(api)
    await api.call("delete", EVENTS, event["metadata"]["name"])
    await notices.warn(OBJ, "Odd", "it is odd")
    (event,) = await told(api)
    assert event["count"] == 1


async def test_objects_of_no_namespace_are_told_of_in_the_default_one(api) -> None:
    obj = {
        "apiVersion": IP_ADDRESSES.api_version,
        "kind": "IPAddress",
        "metadata": {"name": "fd00::1", "uid": "u"},
    }
    await Notices(api.transport, "tester").warn(obj, "Odd", "it is odd")
    (event,) = await told(api)
    assert event["metadata"]["namespace"] == "default" and event["involvedObject"]["name"] == "fd00::1"


async def test_what_cannot_be_said_fails_nobody(api) -> None:
    lost = {**OBJ, "metadata": {**OBJ["metadata"], "namespace": "nowhere"}}
    await Notices(api.transport, "tester").warn(lost, "Odd", "it is odd")
