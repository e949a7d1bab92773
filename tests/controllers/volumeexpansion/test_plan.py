"""What a claim that asks for more is given."""

from __future__ import annotations

from typing import Any

from harness import storage
from harness.storage import bound_claim
from sampan.api.objects import Obj
from sampan.api.persistence import DIRECTORIES, PROVISIONED_BY
from sampan.controllers.volumeexpansion.plan import Plan, plan


def claim(wanted: str, has: str, **status: Any) -> Obj:
    found = bound_claim("c", resources={"requests": {"storage": wanted}})
    found["status"] |= {"capacity": {"storage": has}, **status}
    return found


def volume(size: str, by: str = DIRECTORIES) -> Obj:
    found = storage.volume("v", size)
    found["metadata"]["annotations"] = {PROVISIONED_BY: by}
    return found


def test_the_volume_grows_first_then_the_claim_says_so() -> None:
    resizing = [{"type": "Resizing", "status": "True"}, {"type": "Mine", "status": "True"}]
    step = plan(claim("2Gi", "1Gi", conditions=resizing), volume("1Gi"))
    assert step.volume is not None and step.volume["spec"]["capacity"] == {"storage": "2Gi"}
    assert step.status is not None
    assert step.status["status"] == {
        "phase": "Bound",
        "capacity": {"storage": "2Gi"},
        "allocatedResources": {"storage": "2Gi"},
        "conditions": [{"type": "Mine", "status": "True"}],
    }


def test_between_the_two_writes_the_second_is_left() -> None:
    step = plan(claim("2Gi", "1Gi"), volume("2Gi"))
    assert step.volume is None and step.status is not None


def test_who_has_enough_or_is_not_bound_gets_nothing() -> None:
    assert plan(claim("1Gi", "2Gi"), volume("2Gi")) == Plan()
    assert plan(claim("2Gi", "1Gi"), None) == Plan()
    open_claim = claim("2Gi", "1Gi")
    open_claim["metadata"]["annotations"] = {}
    assert plan(open_claim, volume("1Gi")) == Plan()


def test_others_volumes_are_left_to_them() -> None:
    assert plan(claim("2Gi", "1Gi"), volume("1Gi", by="x.io/disk")) == Plan(foreign=True)
