"""The sentence in a Pod's FailedScheduling event, word for word."""

from __future__ import annotations

import pytest

from sampan.api.objects import Obj
from sampan.scheduler.diagnosis import message
from sampan.scheduler.filters import Refusal

CPU = Refusal(("Insufficient cpu",), final=False)
LOWER = Refusal(("Insufficient cpu",), final=False, victims=True)
HUGE = Refusal(("Insufficient cpu", "Insufficient memory"), final=True)
TAINT = Refusal(("node(s) had untolerated taint(s)",), final=True)


@pytest.mark.parametrize(
    ("refusals", "spec", "text"),
    [
        ([], {}, "no nodes available to schedule pods"),
        (
            [CPU],
            {},
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
            "1 No preemption victims found for incoming pod.",
        ),
        (
            [CPU, HUGE, TAINT],
            {},
            "0/3 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint(s), "
            "2 Insufficient cpu. preemption: 0/3 nodes are available: "
            "1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.",
        ),
        (
            [LOWER, CPU],
            {},
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
            "1 No preemption victims found for incoming pod, "
            "1 node(s) had Pods of lower priority, which this scheduler does not preempt.",
        ),
        (
            [CPU],
            {"preemptionPolicy": "Never"},
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to "
            "preemptionPolicy=Never.",
        ),
    ],
)
def test_message(refusals: list[Refusal], spec: Obj, text: str) -> None:
    assert message(refusals, spec) == text
