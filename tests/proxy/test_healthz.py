from __future__ import annotations

import json

import pytest

from sampan.api.objects import Obj
from sampan.proxy.healthz import LATE_S, TO_BE_DELETED, Health, is_eligible


class Clock:
    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({}, True),
        ({"spec": {"taints": [{"key": "other"}]}}, True),
        ({"spec": {"taints": [{"key": TO_BE_DELETED}]}}, False),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
    ],
)
def test_eligible(node: Obj, expected: bool) -> None:
    assert is_eligible([{"metadata": {}, **node}]) is expected


def test_eligible_while_nothing_is_known() -> None:
    assert is_eligible([])


def test_change_that_waits_too_long_is_unhealthy_until_it_is_in_the_kernel() -> None:
    clock = Clock()
    health = Health(lambda: True, clock)
    health.queued()
    clock.now_s += LATE_S - 1
    health.queued()
    assert health.healthy()
    clock.now_s += 1
    assert not health.healthy()
    assert health.page("/healthz").status == health.page("/livez").status == 503
    health.updated()
    assert health.page("/livez").status == 200


def test_node_that_goes_is_alive_but_gets_nothing_new() -> None:
    health = Health(lambda: False, Clock())
    page = health.page("/healthz")
    assert page.status == 503
    assert json.loads(page.body) == {
        "lastUpdated": "1970-01-12T13:46:40Z",
        "currentTime": "1970-01-12T13:46:40Z",
        "nodeEligible": False,
    }
    assert health.page("/livez").status == 200
    assert health.page("/metrics").status == 404
    assert health.asked == {("healthz", 503): 1, ("livez", 200): 1}
