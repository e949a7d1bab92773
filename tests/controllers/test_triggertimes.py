"""Of what changed since the last look, the earliest time."""

from __future__ import annotations

from sampan.api.objects import Obj
from sampan.controllers.triggertimes import TriggerTimes

SERVICE: Obj = {"metadata": {"uid": "s", "creationTimestamp": "2026-01-01T00:00:00Z"}}


def pod(name: str, second: int) -> Obj:
    moment = f"2026-01-01T00:00:{second:02}Z"
    return {
        "metadata": {"name": name, "namespace": "default"},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": moment}]},
    }


UNKNOWN: Obj = {"metadata": {"name": "new", "namespace": "default"}, "status": {}}


def test_a_new_service_is_its_own_trigger() -> None:
    assert TriggerTimes().look(SERVICE, [pod("a", 5)]) == "2026-01-01T00:00:00Z"


def test_the_earliest_of_those_that_changed() -> None:
    times = TriggerTimes()
    times.look(SERVICE, [pod("a", 1), pod("b", 2), UNKNOWN])
    assert times.look(SERVICE, [pod("a", 1), pod("b", 2)]) == ""
    changed = [pod("a", 1), pod("b", 9), pod("c", 7)]
    assert times.look(SERVICE, changed) == "2026-01-01T00:00:07Z"
    assert times.look(SERVICE, changed) == ""
    assert times.look(SERVICE, changed[:2]) == ""


def test_a_second_look_at_only_what_changed() -> None:
    times = TriggerTimes()
    times.look(SERVICE, [pod("a", 1), pod("b", 2)])
    assert times.look_again(SERVICE, [pod("a", 8), pod("c", 5)]) == "2026-01-01T00:00:05Z"
    assert times.look_again(SERVICE, [pod("a", 8)], ["default/b", "default/never"]) == ""
    assert times.look(SERVICE, [pod("a", 8), pod("c", 5)]) == ""


def test_who_is_forgotten_is_new_again() -> None:
    times = TriggerTimes()
    times.look(SERVICE, [])
    times.forget(SERVICE)
    times.forget(SERVICE)
    assert times.look(SERVICE, [pod("a", 5)]) == "2026-01-01T00:00:00Z"
