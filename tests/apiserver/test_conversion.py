from __future__ import annotations

import copy

from sampan.api.resources import EVENTS, PODS
from sampan.apiserver.conversion import (
    HPA_V1,
    HPA_V2,
    NEW_EVENTS,
    from_storage,
    storage_prefix,
    storage_resource,
    to_storage,
)


def test_both_kinds_of_event_lie_in_one_place() -> None:
    assert storage_resource(NEW_EVENTS) is EVENTS
    assert storage_prefix(NEW_EVENTS) == storage_prefix(EVENTS) == "/registry/core/events/"
    assert storage_prefix(PODS) == "/registry/core/pods/"


def test_an_event_survives_the_way_there_and_back() -> None:
    new = {
        "kind": "Event",
        "apiVersion": "events.k8s.io/v1",
        "metadata": {"name": "e"},
        "regarding": {"name": "p"},
        "note": "n",
        "reportingController": "c",
        "reportingInstance": "i",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "series": {"count": 2},
    }
    core = to_storage(NEW_EVENTS, new)
    assert (core["apiVersion"], core["involvedObject"], core["message"]) == ("v1", {"name": "p"}, "n")
    assert core["reportingComponent"] == "c"
    assert from_storage(NEW_EVENTS, core) == new


def test_autoscalers_in_both_versions() -> None:
    old = {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v1",
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80},
        "status": {"currentReplicas": 1, "currentCPUUtilizationPercentage": 40},
    }
    stored = to_storage(HPA_V1, old)
    before = copy.deepcopy(stored)
    assert stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert from_storage(HPA_V1, stored) == old
    assert from_storage(HPA_V2, stored) is stored and stored == before
