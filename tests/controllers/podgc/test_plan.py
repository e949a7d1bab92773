from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.objects import Obj
from sampan.controllers.podgc import plan


def pod(name: str, created: str = "", node: str = "", phase: str = "Running", deleting: bool = False) -> Obj:
    metadata: Obj = {"name": name, "creationTimestamp": created}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "spec": {"nodeName": node} if node else {}, "status": {"phase": phase}}


def names(doomed: list[plan.Doomed]) -> list[str]:
    return [each.pod["metadata"]["name"] for each in doomed]


def test_a_pod_goes_with_its_node_and_is_told_why() -> None:
    found = plan.orphaned([pod("a", node="n1"), pod("b", node="n2"), pod("c")], {"n1"})
    assert names(found) == ["a"] and found[0].message == "PodGC: node no longer exists"


def test_a_deleted_pod_that_no_node_knows_goes_at_once() -> None:
    pods = [pod("a", deleting=True), pod("b", deleting=True, node="n1"), pod("c")]
    assert names(plan.never_scheduled(pods)) == ["a"]


PODS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["Running", "Pending", "Succeeded", "Failed"])), max_size=12
)


@given(PODS, st.integers(0, 6))
def test_only_the_oldest_finished_pods_beyond_the_limit_go(made: list[tuple[int, str]], kept: int) -> None:
    pods = [pod(f"p{n:02}", created=str(age), phase=phase) for n, (age, phase) in enumerate(made)]
    finished = [each for each in pods if each["status"]["phase"] in ("Succeeded", "Failed")]
    doomed = [each.pod for each in plan.beyond_threshold(pods, kept)]
    assert len(doomed) == max(len(finished) - kept, 0)
    left = [each for each in finished if each not in doomed]
    assert all(
        old["metadata"]["creationTimestamp"] <= young["metadata"]["creationTimestamp"]
        for old in doomed
        for young in left
    )
